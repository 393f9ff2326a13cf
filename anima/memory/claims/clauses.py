"""Text cut into clauses that state something; knows nothing of slots and values.

What asks, supposes, denies, quotes or reports what somebody else said is left out. Positions are
kept, so that what was understood of a text can be told from what was not.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from anima.memory.claims.vocabulary import EVENTS, RELATIONS, VALUED, alternatives, words

LONGEST: Final = 4000
"""Characters of a text that are looked at: a longer one is a document, not something said."""

_FLAGS = re.IGNORECASE


@dataclass(frozen=True, kw_only=True)
class Clause:
    """One statement: its words, where they stand in the text, and what was said about it.

    `ended` for what holds no more (“… anymore”), `corrects` for what was said to be a change.
    """

    text: str
    start: int
    end: int
    ended: bool = False
    corrects: bool = False


_APOSTROPHES = str.maketrans(
    {"\u2019": "'", "\u2018": "'", "\u201c": '"', "\u201d": '"', "\u00a0": " ", "–": "-"}
)
_ABBREVIATED = r"(?<!\bSt)(?<!\bDr)(?<!\bMr)(?<!\bMrs)(?<!\bMs)(?<!\bJr)(?<!\bNo)(?<!\bMt)"
_SENTENCE = re.compile(
    rf"(?:{_ABBREVIATED}(?<!\b[A-Za-z]\.[A-Za-z])(?<!\b[a-z]\.[a-z])[.](?=\s|$)|[!?;\n]|\.\.+|…)+|$"
)
# A quotation of several words is somebody else's; of a few it may be a value.
_QUOTED = re.compile(r'"[^"\n]*"?')
_SPEECH = re.compile(
    r"\b(?:said|says|say|told|tells|asked|asks|wrote|writes|goes|like|replied|yelled|quote|lyrics?"
    r"|sings?|sang)[,:]?\s*$",
    _FLAGS,
)
_JOINT = re.compile(
    r"""(?:\s*[,:]\s*|\s+-+\s*|\s+)
        (?:(?:and|but|so|because|cause|cuz|since|though|although|however|which\ means|except)\s+
           (?:(?:now|then|also|just|actually|instead)\s+)?
           (?!(?:i|me)\ (?:\w+\ )?(?:broke|broken|split|separated|divorced|got\ divorced|are)\b)
           (?=(?:i|i'm|i've|we|we're|we've|my|our|the|it|it's|its|he|he's|she|she's|they|that's
               |you|you're|call|this|that|these|those|his|her|their)\b)
         |(?:and|but)\s+(?:(?:now|then|just|also|currently|instead)\s+)*
           (?=(?:work|works|live|lives|moved|drive|drives|am|is|are|started|joined|use|uses|take
               |switched|bought|sold|left|quit|took|changed|renamed|adopted|took\ up|became|got|have|has|speak|speaks|study|attend)\b))
      |,\s*(?:(?:now|actually|instead)[,\s]\s*)?
           (?=(?:i|i'm|i've|we|we're|we've|my|our|it's|it\ is|[\w@.+-]+\ (?:no\ longer|doesn't|isn't)\b|he|she|they|he's|she's|they're|the|call\ me|not|what|where|who|how
               |when|do|are|you)\b)
      |\s+-+\s+|:\s+(?=\S)""",
    _FLAGS | re.VERBOSE,
)
_PREDICATE = re.compile(
    r"(?:now |then |just |also |currently |instead )*(?:work|live|moved|drive|am|is|are|started|joined"
    r"|use|take|switched|bought|sold|left|quit|took|changed|renamed|adopted|took\ up|became|got|have|has|speak|study|attend)s?\b",
    _FLAGS,
)
_LEADING = re.compile(
    r"""(?:[\s,.:;*>~-]|\b(?:oh|ah|well|ok|okay|so|and|but|also|hey|hi|hello|yes|yeah|yep|no|nope|nah
        |um|uh|hmm|lol|haha|by\ the\ way|btw|fyi|anyway|anyways|actually|honestly|basically
        |unfortunately|fortunately|luckily|sadly|finally|recently|currently|nowadays|today|right\ now
        |these\ days|at\ the\ moment|for\ now|as\ of\ (?:now|today|this\ \w+|last\ \w+|\w+day)|now|then
        |since\ (?:yesterday|last\ \w+|\w+day|then|we\ last\ (?:spoke|talked))
        |last\ (?:week|month|year|night|weekend|\w+day)|this\ (?:week|month|year|morning)|yesterday
        |from\ now\ on|just|please|kindly|for\ the\ record|for\ (?:your|future)\ (?:information|reference)
        |for\ what\ it's\ worth|as\ you\ know|as\ it\ (?:turns\ out|happens)|turns\ out|it\ turns\ out(?:\ that)?|instead\ of\ \w+|rather\ than\ \w+
        |good\ news|bad\ news|great\ news|big\ news|news|guess\ what|heads\ up|psa|note\ to\ self|note
        |ps|p\.s|nb|reminder|(?:quick|small|tiny|minor|big|another|an|one|a)?\ ?(?:update|correction|change)
        |(?:please\ |do\ |can\ you\ |could\ you\ )?(?:remember|note|keep\ in\ mind|bear\ in\ mind|make\ a\ note
           |write\ down|jot\ down|save|store|log|record|update\ your\ (?:notes|records|memory))
           (?:\ (?:this|for\ me|it|down))?(?:\ that\b)?
        |don't\ forget(?:\ that)?|never\ forget(?:\ that)?
        |just\ (?:so\ you\ know|a\ heads\ up|fyi|to\ let\ you\ know)|so\ you\ know|you\ should\ know(?:\ that)?
        |(?:i\ )?(?:just\ |also\ |only\ )?(?:wanted?|need(?:ed)?|have|should|must|ought|thought\ i'd|forgot|meant|figured\ i'd|would\ like|'d\ like)\ ?
           (?:to\ )?(?:tell|mention|let|add|share|say|note|inform|point\ out|report|clarify|correct)
           (?:\ (?:you|to\ you|me|with\ you))?(?:\ know)?(?:\ out)?(?:\ that\b)?
        |let\ me\ (?:tell|correct|update|remind|introduce|clarify|rephrase|add)(?:\ (?:you|that|myself|this))?(?:\ that\b)?
        |let\ it\ be\ known(?:\ that)?|it's\ worth\ (?:noting|mentioning|knowing)(?:\ that)?
        |(?:what\ )?i\ meant(?:\ (?:was|is))?|make\ that|i\ got\ (?:it|that)\ wrong|i\ was\ wrong|typo|i\ mistyped
        |i(?:'ve|\ have)?\ (?:already\ |also\ )?(?:told|mentioned|said)(?:\ to)?(?:\ you)?(?:\ (?:before|earlier|once))?(?:\ that)\b
        |(?:i'm\ )?(?:happy|glad|proud|excited|pleased|sad|sorry)\ to\ (?:say|report|announce|share)(?:\ that)?
        |the\ (?:news|latest|update)\ is(?:\ that)?|there's\ been\ a\ change|something\ changed
        |things\ (?:have\ )?changed|change\ of\ plans?|scratch\ that|my\ mistake|sorry|oops|wait|in\ fact
        |to\ be\ (?:clear|exact|precise|honest)|strictly\ speaking|interestingly|apparently|plus
        |speaking\ of\ which|on\ another\ note|one\ more\ thing|a\ (?:fun|little|random)\ fact(?:\ about\ me)?|fun\ fact
        |about\ me|personally|fact|fwiw|ftr|tbh|jsyk|dear\ diary|hi\ there|hello\ there|good\ (?:morning|evening|afternoon))\b)+""",
    _FLAGS | re.VERBOSE,
)
_PREAMBLE = re.compile(
    r"^[^,]{0,60}?\bthat\s+(?=(?:my|our|i|i'm|i've|we|we're|we've|the)\b)", _FLAGS
)
_CORRECTS = re.compile(
    r"\b(?:now|actually|no longer|not anymore|anymore|any more|instead|from now on|update|correction"
    r"|changed?|new|switched|since|as of|these days|turns out|scratch that|moved|currently|finally"
    r"|just (?:got|changed|moved|started|switched)|rescheduled|renamed|replaced|extended|postponed|transferred|promoted|became|mistake|sorry|wait|wrong|meant|typo|make that)\b",
    _FLAGS,
)
_ASKS = re.compile(
    r"^(?:who|whom|whose|what|when|where|why|how|which|do|does|did|is|are|am|was|were|can|could|will"
    r"|would|should|may|might|have|has|had|shall|isn't|aren't|don't(?! call\b)|doesn't|didn't|wasn't|weren't"
    r"|what's|who's|where's|how's|when's|whats|wanna|any|ever)\b"
    r"|\b(?:do|did|are|were|have|can|could|will|would) (?:you|u|ya|your)\b(?! (?:know|remember)\b)"
    r"|\bdo you\b|\bremind me\b|\btell me\b|\bwonder(?:ing)?\b|\bguess (?:my|what|who|where|how)\b",
    _FLAGS,
)
_SUPPOSES = re.compile(
    r"\b(?:if|unless|whether|imagine|imagining|suppose|supposing|supposed|pretend|pretending|wish|wished"
    r"|hypothetically|assuming|assume|let's say|lets say|say for example|as though|in case"
    r"|what if|would|wouldn't|could|couldn't|might|maybe|perhaps|possibly|should|shouldn't|i'd|he'd"
    r"|she'd|they'd|we'd|you'd|kidding|jk|just joking|april fools|not sure|unsure|probably|hopefully"
    r"|hope|hopes|hoping|want to|wants to|wanna|like to be|going to (?:be|live|work|move|become|study)"
    r"|gonna|plan to|plans to|planning|planned to|thinking (?:of|about)|considering|about to|try to"
    r"|trying to|dream of|dreamt|dreamed|dreaming|almost|nearly|i think|i thought|i guess|i believe|i feel like"
    r"|i assume|i suppose|i bet|seems?|feels?|sounds?|looks?|can't wait|used to think|forgot"
    r"|in (?:my|the|this|that|a) (?:dream|story|novel|book|game|movie|film|show|song|poem|play)"
    r"|my character|role ?play|for example|such as when|as a joke|someday|one day)\b"
    r"|\bmay (?:be|have|not|become|also|go|move|work|live)\b",
    _FLAGS,
)
_DENIES = re.compile(
    r"\b(?:not|never|neither|nor|hardly|barely|scarcely|cannot|nobody|none|without)\b|n't\b|\bdont\b"
    r"|\bcant\b|\bwont\b|\bisnt\b|\bdidnt\b|\baint\b",
    _FLAGS,
)
_REPORTS = re.compile(
    r"\b(?:he|she|they|it|who|someone|somebody|everyone|people|mom|mum|dad|you|we|one|[A-Z][a-z]+"
    r"|(?:my|our|the|his|her|their) \w+)(?: \w+)? "
    r"(?:said|says|told|tells|thinks?|thought|claims?|claimed|asked|asks|wrote|mentioned|believes?|heard"
    r"|insists?|insisted|swears?|swore|reckons?|announced|argues?|complained|assumed|suggested)\b"
    r"|\baccording to\b|\bi (?:heard|read|was told|saw)\b|\brumou?r\b|\bquote\b|\bsays\b",
)
_BYGONE = re.compile(
    r"^(?:when|while|back when|before|after|until|till|once|as soon as|whenever|during)\b", _FLAGS
)
_NO_MORE = re.compile(r"\s*,?\s*\b(?:anymore|any more|any longer)\b", _FLAGS)
_NO_LONGER = re.compile(r"\b(?:(?:no|not any) longer|not) ", _FLAGS)
_LONGER = re.compile(r"\b(?:no|not any) longer\b", _FLAGS)
_NEGATED = (
    (re.compile(r"\b(?:do not|don't|dont|does not|doesn't|doesnt) (?:really )?", _FLAGS), ""),
    (re.compile(r"\b(am|are|is|was|have|has)(?: not|n't)\b", _FLAGS), r"\1"),
    (re.compile(r"\b(?:can't|cannot|can not)\b", _FLAGS), "can"),
    (re.compile(r"('m|'re|'s) not\b", _FLAGS), r"\1"),
    (re.compile(r"\b(is|are)nt\b", _FLAGS), r"\1"),
)
_USED_TO = re.compile(
    r"\bused to (?!it\b|this\b|that\b|the\b|my\b|having\b|being\b|\w+ing\b)", _FLAGS
)


_CALLING = re.compile(r"(?:please\s+)?stop\s+calling\s+me\s+", _FLAGS)
_HEADED = re.compile(
    rf"^\s*(?:(?:i|we)(?:'ve)?\s+(?:have|got|have\s+got|just\s+got)\s+)?(?:(?:my|our|the|an?)\s+)?(?:(?:new|updated|current)\s+)?((?:[\w'-]+\s+){{0,2}}(?:{alternatives(VALUED | EVENTS)}))\s*:\s+(?=\S)",
    _FLAGS,
)
"""“New wifi password: moonlight”"""


_TOKEN = re.compile(r"[a-z']+")
# A long pattern is only tried where one of these is among the words: most sentences have none.
_MAY_CORRECT = words(
    """
    now actually no not anymore more instead from update correction change changed new switched since
    as these turns scratch moved renamed replaced extended postponed transferred promoted became currently finally just rescheduled mistake sorry wait wrong meant typo make
    """
)
_MAY_ASK = words(
    """
    who whom whose what when where why how which do does did is are am was were can could will would
    should may might have has had shall isn't aren't don't doesn't didn't wasn't weren't what's who's
    where's how's when's whats wanna any ever remind tell wonder wondering guess
    """
)
_MAY_SUPPOSE = words(
    """
    if unless whether imagine imagining suppose supposing supposed pretend pretending wish wished
    hypothetically assuming assume let's lets say though case would wouldn't could couldn't might maybe
    perhaps possibly should shouldn't i'd he'd she'd they'd we'd you'd kidding jk joking fools sure unsure
    probably hopefully hope hopes hoping want wants wanna like going gonna plan plans planning planned
    thinking considering about try trying dream dreamt dreamed dreaming almost nearly think thought guess
    believe feel bet seem seems feels sound sounds look looks wait used forgot story novel book game movie
    film show song poem play character role roleplay example joke someday one may
    """
)
_UNREAL = words("if unless whether imagine suppose pretend wish")
_MAY_REPORT = words(
    """
    said says told tells think thinks thought claim claims claimed asked asks wrote mentioned believe
    believes heard hear insist insists insisted swear swears swore reckon reckons announced argue argues
    complained assumed suggested according read saw rumor rumour quote
    """
)


def _tokens(text: str) -> frozenset[str]:
    return frozenset(_TOKEN.findall(text.casefold()))


def plain(text: str) -> str:
    """The text with plain quotation marks, as long as before."""
    return text.translate(_APOSTROPHES)


def clauses(text: str) -> Iterator[Clause]:
    """What a text states, clause by clause, in its order."""
    said = _without_quotations(plain(text[:LONGEST]))
    for start, sentence, asked in sentences(said):
        yield from _statements(sentence, start, asked=asked)


def sentences(text: str) -> Iterator[tuple[int, str, bool]]:
    """Each sentence with its place, and whether it ends as a question."""
    start = 0
    for end in _SENTENCE.finditer(text):
        sentence = text[start : end.start()]
        if sentence.strip():
            yield start, sentence, "?" in end.group()
        start = end.end()


def _statements(sentence: str, start: int, *, asked: bool) -> Iterator[Clause]:
    sentence = without_reminder(sentence)
    tokens = _tokens(sentence)
    corrects = bool(tokens & _MAY_CORRECT) and _CORRECTS.search(sentence) is not None
    # Of “I live in Utah, where do you live?” only the end asks; “did you know …?” asks as a whole.
    if tokens & _UNREAL or (tokens & _MAY_REPORT and _REPORTS.search(sentence)):
        return
    if ":" in sentence:
        sentence = _HEADED.sub(r"my \1 is ", sentence)
    pieces = list(_pieces(sentence))
    for at, (place, piece, subject) in enumerate(pieces):
        if asked and at == len(pieces) - 1:
            return
        clause = _led(
            Clause(
                text=piece, start=start + place, end=start + place + len(piece), corrects=corrects
            )
        )
        if tokens & _MAY_ASK and _ASKS.search(clause.text):
            if at == 0 and asked:
                return
            continue
        if subject:
            # Spaces keep nothing: what is put before stands where the word before it stood.
            clause = replace(
                clause, text=subject + " " + clause.text, start=clause.start - len(subject) - 1
            )
        stated = _stated(clause, unsure=bool(tokens & _MAY_SUPPOSE))
        if stated is not None:
            yield stated


_FIRST = re.compile(
    rf"\W*(?:\w+ ){{0,3}}?(i|we|he|she|(?:my|our) (?:{alternatives(RELATIONS)}))(?:'m|'ve|'re)?\b",
    _FLAGS,
)


def _pieces(sentence: str) -> Iterator[tuple[int, str, str]]:
    """The sentence at its joints: place, words, and the subject that a bare predicate lacks."""
    start, subject = 0, ""
    first = _FIRST.match(sentence)
    for joint in [*_JOINT.finditer(sentence), None]:
        end = len(sentence) if joint is None else joint.start()
        piece = sentence[start:end]
        if piece.strip():
            yield start, piece, subject
        if joint is None:
            return
        start = joint.end()
        bare = _PREDICATE.match(sentence, start) is not None
        subject = first.group(1) if bare and first is not None else ""


def _led(clause: Clause) -> Clause:
    """The clause without the words that only lead up to it."""
    text, start = clause.text, clause.start
    for pattern in (_LEADING, _PREAMBLE, _LEADING):
        led = pattern.match(text)
        if led is not None and led.end() < len(text):
            if pattern is _PREAMBLE and (
                _DENIES.search(led.group()) or _SUPPOSES.search(led.group())
            ):
                return replace(clause, text="", start=start)
            start, text = start + led.end(), text[led.end() :]
    stripped = text.rstrip(" ,.:-*")
    return replace(clause, text=stripped, start=start)


_REMINDER = re.compile(
    r"^\W*(?:(?:as|like)\s+(?:i|we)(?:'ve|\s+have)?\s+(?:already\s+|just\s+)?(?:told\s+you|said|mentioned)"
    r"|(?:i\s+(?:think|believe|guess)\s+)?i(?:'ve|\s+have)?\s+(?:already\s+|may\s+have\s+)?"
    r"(?:told\s+you|said|mentioned)(?:\s+(?:it|this|that))?(?=(?:\s+(?:before|already|earlier|once))?\s*[:,]))"
    r"(?:\s+(?:before|already|earlier|once))?\s*[:,]",
    _FLAGS,
)


def without_reminder(sentence: str) -> str:
    """A sentence, as long as before, without “as I told you”, which only says that it is known."""
    return _REMINDER.sub(lambda found: " " * len(found.group()), sentence)


def supposes(sentence: str) -> bool:
    """Whether a sentence only imagines, hopes or guesses."""
    return bool(_tokens(sentence) & _MAY_SUPPOSE) and _SUPPOSES.search(sentence) is not None


def _stated(clause: Clause, *, unsure: bool) -> Clause | None:
    """The clause as a statement, an ending turned to what ends; None for what states nothing."""
    text = clause.text
    ended = False
    if _NO_MORE.search(text) and _DENIES.search(text):
        text, ended = _affirmed(_NO_MORE.sub("", text)), True
    elif _LONGER.search(text):
        text, ended = (
            _affirmed(re.sub(r"\s*\b(?:no|not any) longer\b", "", text, flags=_FLAGS)),
            True,
        )
    elif _USED_TO.search(text):
        text, ended = _USED_TO.sub("", text, count=1), True
    if _CALLING.match(text):
        text, ended = _CALLING.sub("call me ", text), True
    if not text.strip() or (unsure and _SUPPOSES.search(text)) or _BYGONE.match(text):
        return None
    if _DENIES.search(text) and not _CONTRASTS.search(text):
        if _DENIED_LATER.match(text):
            return None
        text, ended = _affirmed(text), True
        if _DENIES.search(text):
            return None
    return replace(clause, text=text, ended=ended)


# “I like people, which isn't a secret” denies nothing of what it likes.
_DENIED_LATER = re.compile(
    r"(?:(?!\bnot\b|n't\b)[^,])*(?:,|\b(?:which|that|but|who|because)\b|(?<=\s)(?:i|we|he|she|they)\s)",
    _FLAGS,
)
_CONTRASTS = re.compile(
    r"(?:^|[\s,])not\b.+\bbut\b|(?:,|\band) not [\w'-]+(?: [\w'-]+){0,3}$|^not ", _FLAGS
)


def _affirmed(text: str) -> str:
    for pattern, positive in _NEGATED:
        text = pattern.sub(positive, text, count=1)
    return text


def _without_quotations(text: str) -> str:
    """The text, as long as before, without what is quoted from somebody."""

    def blank(found: re.Match[str]) -> str:
        quoted = found.group()
        long = len(quoted.split()) > 3
        if long or _SPEECH.search(text[: found.start()]) or found.start() == 0:
            return "\n" + " " * (len(quoted) - 2) + "\n" if len(quoted) > 1 else " "
        return " " + quoted.strip('"').ljust(len(quoted) - 1)

    return _QUOTED.sub(blank, text)
