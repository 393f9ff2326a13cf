"""The ways of saying something of a person or a thing, as patterns; knows not what they mean.

In each, `v` is the value, `n` the name of what has it, `o` its owner or the value before, `r` a
relation such as “sister”, `d` a determiner and `c` what stands for “is”.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from anima.memory.claims import values
from anima.memory.claims.vocabulary import (
    DIETS,
    EVENTS,
    FAMILY_COUNTED,
    LANGUAGES,
    NO_NAME,
    NO_PLACES,
    NOT_LIKED,
    NUMBERS,
    PROFESSIONS,
    RELATIONS,
    STATUSES,
    SUBJECTS,
    UNIVERSITIES,
    WORKPLACES,
    alternatives,
)


def _saying(words: str, *, cased: bool = False) -> re.Pattern[str]:
    """A pattern in which a space is any white space, and capitals count only where `cased`."""
    return re.compile(words.replace(" ", r"\s+"), 0 if cased else re.IGNORECASE)


_ADVERBS = (
    r"(?:(?:currently|now|still|just|recently|actually|finally|also|already|really|officially|only"
    r"|mostly|usually|normally|always|originally|mainly|primarily|generally|typically|temporarily"
    r"|proudly|happily|both|all|since|then|even|ve|have|has|had|am|is|are|'m|'re|'s|been) )*"
)
_BE = r"(?:am|is|are|'m|'re|'s|was made|became|have become|has become|have been|has been)"


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way of saying something of a person: the words after the subject, and what they mean.

    `fits` says whether what stands at V can be the value.
    """

    attribute: str
    words: re.Pattern[str]
    fits: Callable[[str], bool] = values.short
    many: bool = False
    holds: bool = True


def _way(
    attribute: str,
    words: str,
    fits: Callable[[str], bool] = values.short,
    *,
    many: bool = False,
    holds: bool = True,
    bare: bool = False,
) -> Way:
    # “I have four” is nobody's age: what has no verb of its own needs a form of “be”.
    adverbs = _ADVERBS.replace("|ve|have|has|had", "") if bare else _ADVERBS
    pattern = _saying(adverbs + words.replace("V", "(?P<v>.+)"))
    return Way(attribute=attribute, words=pattern, fits=fits, many=many, holds=holds)


def is_place(phrase: str) -> bool:
    """Whether somebody can live in what a phrase names: not in a house, in fear or in there."""
    words = phrase.casefold().split()
    if not 1 <= len(words) <= 4 or words[0] in _NO_PLACE or any(c.isdigit() for c in phrase):
        return False
    return words[0] != "the" or values.proper(phrase) or values.level(phrase) != "city"


_NO_PLACE: Final = NO_NAME - {"the", "new", "old", "nice"} | NO_PLACES


def _is_school(phrase: str) -> bool:
    words = phrase.casefold().split()
    if not values.short(phrase) or words[0] in NO_NAME - {"the", "new", "old"}:
        return False
    return values.proper(phrase) or (
        words[-1] in {"university", "college", "academy", "school"} and len(words) > 1
    )


def _is_plainly_school(phrase: str) -> bool:
    """“I go to Spain” is none: the word itself must say that it is a school, or be its initials."""
    named = re.search(
        r"\b(?:[Uu]niversity|[Cc]ollege|[Aa]cademy|[Ii]nstitute|[Ss]chool|[Pp]olytechnic|[A-Z]{3,5})\b|^U of \w",
        phrase,
    )
    if phrase.casefold() in UNIVERSITIES:
        return True
    return _is_school(phrase) and (
        named is not None or phrase.casefold().endswith((" university", " college"))
    )


def is_employer(phrase: str) -> bool:
    words = phrase.casefold().split()
    if not 1 <= len(words) <= 5 or words[0] in NO_NAME - {"the", "new", "old", "good"}:
        return False
    if words[-1] in {"hours", "minutes", "days", "weeks", "months", "years", "while", "time"}:
        return False
    return (
        words[0] not in {"home", "night", "nights", "least", "work"}
        and (words[0] != "the" or len(words) <= 4)
        and (values.proper(phrase) or words[0] == "the" or words[-1] in WORKPLACES)
    )


def is_profession(phrase: str) -> bool:
    words = phrase.casefold().replace("-", " ").split()
    if words and words[-1] in {"student", "intern"}:
        return False
    if any(word in NO_NAME or word in RELATIONS for word in words[:-1]):
        return False
    return 1 <= len(words) <= 4 and words[-1] in PROFESSIONS and words[0] not in _NO_PROFESSION


_NO_PROFESSION: Final = frozenset(
    ["good", "bad", "great", "terrible", "better", "horrible", "huge", "big", "decent", "lousy"]
)


def _is_age(phrase: str) -> bool:
    return re.fullmatch(
        rf"(?:\d{{1,2}}|1[01]\d|{alternatives(NUMBERS)})(?:\s+(?:years?(?:\s+old|\s+of\s+age)?|yrs?(?:\s+old)?|y/?o))?",
        phrase.casefold(),
    ) is not None and not phrase.casefold().startswith(("0", "one", "zero"))


def _is_liked(phrase: str) -> bool:
    words = phrase.casefold().split()
    return 1 <= len(words) <= 4 and words[0] not in _NOT_LIKED


_NOT_LIKED: Final = NO_NAME - {"the", "a", "an", "my", "old", "new"} | NOT_LIKED


def _is_role(phrase: str) -> bool:
    words = phrase.casefold().split()
    if not values.short(phrase) or words[-1] in {"major", "student", "kid", "child", "freshman"}:
        return False
    return words[0] not in {"if", "it", "hell", "well"}


WAYS: Final[Sequence[Way]] = (
    _way("address", r"(?:live|lives|living|reside|resides) (?:now )?(?:at|on) (?P<v>\d.+)"),
    _way("home", r"(?:live|lives|living|reside|resides|residing|based|located|settled|stay|staying) "
         r"(?:now |currently |down |over |up |out |alone |here |back )*in V", is_place),
    _way("moved", r"(?:moved|relocated|resettled|emigrated|immigrated) (?:house |home |back |over |out |away"
         r" |down |up )*(?:from .+? )?to V", is_place),
    _way("moved", r"(?:call|made|make) (?P<v>(?-i:[A-Z])\w+(?:\s(?-i:[A-Z])\w+)?) (?:my )?home", is_place),
    _way("origin", r"(?:originally )?(?:from|come from|comes from|hail from|hails from) V", is_place),
    _way("birthplace", r"(?:was |were )?born (?:and (?:raised|bred) )?in V", is_place),
    _way("birthday", r"(?:was |were )?born (?:on|in) V", lambda p: next(values.moments(p), ("", ""))[0] == "day"),
    _way("grew up", r"(?:grew up|was raised|raised) in V", is_place, many=True),
    _way("job", r"(?:(?:work|works|working|worked up to|employed|started|starting|hired|serve|serves|serving"
         r"|got (?:a|the|this|my)?\s*(?:new )?(?:job|position|role|gig)|promoted|took a (?:new )?(?:job|position|role)"
         r"|(?:got|took|accepted|landed|started|have|has) (?:a|the|my) (?:new )?(?:job|position|role|gig)) )"
         r"(?:out |working |there )?(?:as) (?:an? |the |their |our )?V", _is_role),
    _way("job", r"(?:got |was |were |get )?promoted to (?:an? |the )?V", _is_role),
    _way("job", rf"(?:{_BE} )?(?:an? |the )(?:new )?V by (?:trade|profession|training)\b"),
    _way("job", r"(?:became |become )?(?:an? |the )(?:new )?V", is_profession, bare=True),
    _way("employer", r"(?:work|works|working|employed|interning|intern|interns|started(?: working| a (?:new )?job)?"
         r"|got (?:a (?:new )?)?(?:job|hired)|hired|took a (?:new )?job|start(?:ed)? work(?:ing)?) "
         r"(?:over |now |full(?:-| )time |part(?:-| )time |remotely |as .+? )*(?:at|for|with|by) V", is_employer),
    _way("employer", r"(?:joined|(?:switched|changed) jobs to) (?P<v>[A-Z][\w&'.-]*(?:\s[A-Z][\w&'.-]*)*)"
         r"(?= as\b|$)", lambda p: is_employer(p) and p[0].isupper() and p.split()[0].casefold() not in LANGUAGES),
    _way("employer", r"(?:quit|left|resigned from|retired from|got fired from|got laid off (?:from|by)) "
         r"(?:(?:my )?(?:old |previous )?(?:job|position|role) (?:at|with|for) )?V",
         lambda p: is_employer(p) and values.proper(p), holds=False),
    _way("job|employer", r"(?:quit|left|lost|resigned from|retired from) (?P<v>my (?:old )?(?:job|position))$", holds=False),
    _way("age", r"(?:turned |turning |aged )?V", _is_age, bare=True),
    _way("allergy", r"(?:deathly |severely |very |super |highly |mildly )?allergic to V",
         lambda p: _is_liked(p), many=True),
    _way("allergy", r"(?:have|has|got|developed) (?:an? )?(?:severe |bad |serious |mild )?V allergy\b", _is_liked, many=True),
    _way("allergy", r"(?:have|has|got|developed) an? (?:severe |bad |mild )?allergy to V", _is_liked, many=True),
    _way("diet", r"(?:went|gone|go|turned|turn|became|become|eat|eats|eating|keep|keeps|following a|follow a|on a)?\s*"
         r"(?:an? )?(?:strictly |strict |fully |completely |100% )?V", lambda p: p.casefold().removesuffix(" diet") in DIETS),
    _way("partner's name", r"(?:broke up with|split up with|split from|divorced|left) V",
         lambda p: values.is_name(p) and p.split()[0].casefold() not in LANGUAGES, holds=False),
    _way("partner's name", r"(?:dating|seeing|married to|engaged to|going out with|in a relationship with) V",
         lambda p: values.is_name(p) and p.split()[0].casefold() not in LANGUAGES),
    _way("relationship", r"(?:got |getting )?V", lambda p: p.casefold() in STATUSES, bare=True),
    _way("car", r"(?:drive|drives|driving) (?:around )?(?:an? |my |the )?(?:new )?V", values.proper),
    _way("car", r"(?:bought|got|own|owns|leased) (?:an? |my )?(?:new )?car,? an? V", values.short),
    _way("language", r"(?:speak|speaks|fluent in) (?:fluent |some )?V",
         lambda p: p.casefold() in LANGUAGES, many=True),
    _way("school", r"(?:go|goes|going|transferred) to V", _is_plainly_school),
    _way("school", r"(?:attend|attends|attending|study|studies|studying|enrolled|transferred|enrolling|a student"
         r"|got into|got accepted|switched schools)\s*(?:(?:to|at|in|into) )V", _is_school),
    _way("school", r"(?:attend|attends|attending) V", _is_school),
    _way("major", r"(?:study|studies|studying) V", lambda p: p.casefold() in SUBJECTS),
    _way("major", r"(?:majoring|major|majored|majors) in V"),
    _way("first language", r"a native V speaker", lambda p: p.casefold() in LANGUAGES),
    _way("likes", r"(?:like|likes|love|loves|enjoy|enjoys|adore|adores|into|a (?:big |huge )?fan of|prefer|prefers|obsessed with) V",
         _is_liked, many=True),
    _way("dislikes", r"(?:hate|hates|dislike|dislikes|detest|detests|despise|despises) V", _is_liked, many=True),
    _way("likes", r"(?:stopped (?:liking|loving|enjoying)|went off|gone off) V", _is_liked, many=True, holds=False),
    _way("drinks", r"(?:drink|drinks) V", _is_liked, many=True),
    _way("drinks", r"(?:stopped|quit) drinking V", _is_liked, many=True, holds=False),
    _way("plays", r"(?:play|plays) (?:the )?V", _is_liked, many=True),
    _way("commute", r"(?:take|takes|ride|rides) (?:the |my )?V to (?:work|school|the office|campus)", values.short),
    _way("commute", r"(?P<v>walk|bike|cycle|drive|bus|bicycle|carpool)s? to (?:work|school|the office|campus)"),
    _way("name", r"(?:called|named|go by|goes by|known as|changed (?:my|her|his) name to) V", values.is_name),
    _way("wake-up time", r"(?:wake|wakes|get|gets) up (?:every (?:day|morning) )?(?:around|at) V", lambda p: next(values.moments("at " + p), None) is not None),
    _way("bedtime", r"go(?:es)? to (?:bed|sleep) (?:around|at) V", lambda p: next(values.moments("at " + p), None) is not None),
    _way("height", r"(?P<v>\d'\s?\d{1,2}\"?|\d{3}\s?cm(?: tall)?|\d(?:\.\d+)?\s?(?:m|feet|ft)(?: \d+)? tall)$"),
    _way("weight", r"(?:weigh|weighs) V", values.identifier),
)  # fmt: skip
"""What is said of a person after “I”, “my sister” or a name; the first that fits each attribute."""

_PERSON = alternatives(RELATIONS)
FIRST = _saying(r"(?:i|we)(?P<be>'m|'re|'ve| am| are)? |(?:i'?m|im|ive|i've) ")
RELATIVE = _saying(
    rf"(?:my|our) (?:new |dear |lovely |old )?(?P<r>{_PERSON})(?:,? (?P<n>(?-i:[A-Z])[\w-]+)(?:,|(?=\s)))?(?P<be>'s(?! \w+ (?:is|are)\b))? ",
)
NAMED = _saying(
    r"(?P<n>[A-Z][a-z'-]+(?:\s[A-Z][a-z'-]+)?) (?=(?:now |just |still |also |has |recently )?"
    r"(?:lives?|living|moved|relocated|works?|is|turned|was|drives?|studies|goes|attends|joined|speaks|has|got|loves|likes|hates)\b)",
    cased=True,
)
_COPULA = (
    r"(?:(?:is|are|'s|was|were|will be|has been|have been|got|became|has become|should now be)(?: now| currently| actually| going to be| just)?"
    r"(?: (?:changed|moved|switched|set|reset|updated|rescheduled|renamed|pushed(?: back)?|postponed|extended|shifted|bumped(?: up)?|brought forward|delayed"
    r"|relocated|scheduled|planned|booked|due|called|named|transferred|reassigned|fixed|changing|starting|parked|located|kept|stored|hidden)"
    r"(?: from .+?)?(?: (?:to|for|as|until|till|back to|into))?)?"
    r"|changed(?: from .+?)? to|moved(?: from .+?)? to|switched(?: from .+?)? to|now is|starts?|begins?|leaves?|departs?|arrives?|ends?|opens?|closes?|takes place|happens|has changed(?: from .+?)? to|has moved(?: from .+?)? to|(?:went|gone|has gone|was raised|increased|dropped|rose|fell|has increased|has dropped|has risen)(?: up| down)?(?: from .+?)? to|comes?)"
)
THING = _saying(
    rf"(?P<d>my|our|the|this) (?P<n>(?:[\w'&/-]+ ){{0,6}}?[\w'&/-]+?)(?P<c>(?: |(?='s (?!\w+ (?:is|are|was|has)\b))){_COPULA}) (?P<v>.+)",
)
OWNED = _saying(rf"(?P<d>(?:my|our|the) )?(?P<o>{_PERSON}|(?-i:[A-Z])[\w-]+)'s? (?P<n>.+)")
OF_PERSON = _saying(rf"(?P<n>.+) of (?:my|our|the) (?P<o>{_PERSON})$")
NAMES_OWNED = _saying(
    rf"(?P<o>[A-Z][\w-]+)'s (?P<n>(?:[\w-]+ ){{0,3}}?[\w-]+)(?P<c> {_COPULA}) (?P<v>.+)",
    cased=True,
)
CALL_ME = _saying(
    r"(?:(?:you can|just|please|everyone|everybody|people|friends|they|my friends|folks) )*calls? me (?P<v>.+)",
)
NAMES = _saying(r"(?:the )?name(?:'s| is) (?P<v>.+)")
INTRODUCED = _saying(
    r"(?:this is|it's|i'm|i am) (?P<v>(?-i:[A-Z])[\w-]+)(?: (?:here|speaking))?$",
)
HAS_NAMED = _saying(
    rf"(?:i|we)(?:'ve| have| also)? (?:just |also |recently )?(?:have|has|got|had|adopted|own|bought|rescued|getting) (?:an?|one|another|two|this)?\s*(?:[\w-]+ ){{0,3}}?"
    rf"(?P<r>{_PERSON})\s*,? (?:and )?(?:named|called|whose name is|who is called|who is named|(?:his|her|its) name is) (?P<v>.+)",
)
COUNTED = _saying(
    rf"(?:i|we)(?:'ve)? (?:now )?(?:have|got|have got) (?:now )?(?P<v>\d+|{alternatives(NUMBERS)}) (?P<n>{alternatives(FAMILY_COUNTED)})(?=[.,!]|$| (?:now|and|in total))",
)
CHANGED = _saying(
    r"(?:i|we|they|he|she|it|someone|admin|the \w+)(?:'ve| have| has| had to| got)? (?:just |now |recently |also |finally |already |decided to )*"
    r"(?:changed?|switched|moved?|updated|renamed|reset|rescheduled|pushed(?: back)?|postponed|shifted|swapped|set|bumped|brought|transferred|relocated|reassigned|made) "
    r"(?P<n>(?:my|our|the|his|her|its|this) (?:[\w'-]+ ){0,4}?[\w'-]+?|it|that|this)(?: (?:forward|back|up|over))?(?: from (?P<o>.+?))? (?:to|for|into|until) (?:be )?(?P<v>.+)",
)
BECAME_NAMED = _saying(
    rf"(?:i|we)(?:'ve| have)? (?:just |now |finally )?(?:named|renamed|call|called|calling) (?:my|our|the|her|him|it)\s*(?P<r>{_PERSON})? (?:to )?(?P<v>(?-i:[A-Z])[\w-]+)(?: (?:now|instead))?$",
)
KEPT = _saying(
    r"(?:i|we)(?:'ve| have)? (?:now |just |always |usually |also )?(?:keep|kept|put|store|stored|left|hid|hide|moved|parked|park) (?P<n>(?:my|our|the) (?:[\w'-]+ ){0,3}?[\w'-]+?) "
    r"(?:over )?(?P<v>(?:in|inside|at|on|under|behind|beside|near|next to|on top of|to) .+)",
)
USES_AS = _saying(
    r"(?:(?:i|we)(?:'m|'ve)? )?(?:please )?(?:now |just |mostly |currently )?(?:use|using|picked|chose|pick|chosen|selected|went with) (?P<v>.+?) as (?P<n>(?:my|our|the) .+)",
)
INVERSE = _saying(
    r"(?P<v>[\w'&+-]+(?: [\w'&+-]+){0,4}?) (?:is|are|was made|became|has become) (?:now |also )?(?P<n>(?:my|our) .+)",
)
SWITCHED = _saying(
    r"(?:i|we|they|he|she)(?:'ve|'m| have| am)? (?:now |just |recently |finally |also )*(?:switched|swapped|changed|went|moved|converted|traded|replaced|upgraded|exchanged|gave up|switching) "
    r"(?:over )?(?:from )?(?:my |the |an? |our )?(?:old )?(?P<o>.+?) (?:to|for|with|in for|in favou?r of) (?:an? |the |my )?(?:new )?(?P<v>.+)",
)
INSTEAD = _saying(
    r"(?P<s>.+?) (?:instead of|rather than|in place of|not) (?:the |an? |my )?(?P<o>.+)",
)
PRONOUN = _saying(
    rf"(?:it|that|this)(?P<c>'s(?: been)?(?: (?:moved|changed|switched|pushed(?: back)?|rescheduled|postponed|set) to)?| {_COPULA}) (?:now |actually |currently |just |really )*(?:called |named )?(?P<v>.+)",
)
NOT_BUT = _saying(
    r"(?P<s>.*?)\s*,?\s*(?:not )?(?P<o>[^,]+?)\s*,? but (?:rather |now |instead |it's (?:now )?|actually )?(?P<v>.+)",
)
REACHED = _saying(
    r"(?:you can |you may |please |just )*(?:reach|text|call|email|e-mail|contact|phone|ring|message|write to|mail) me (?:now )?(?:at|on|under|via) (?P<v>.+)",
)
GAVE_UP = _saying(
    r"(?:i|we)(?:'ve| have| just| finally| recently)* (?:sold|gave up|given up|stopped|quit|dropped|got rid of|cancell?ed|gave away|abandoned|ditched) "
    r"(?:(?:drinking|eating|playing|using|being|going to|taking|doing|learning|studying|driving|working at|working for) )?(?:my |the |our |an? )?(?:old )?(?P<o>.+)",
)
PARTED = _saying(
    r"(?P<v>[A-Z][\w-]+) and (?:[Ii]|me) (?:have |just |recently |'ve )*(?:broke up|broken up|split(?: up)?|separated|(?:got )?divorced|are (?:no longer together|over|done))",
    cased=True,
)
AM_AT = _saying(
    r"(?:i|we)(?:'m|'re| am| are) (?:now |currently )?(?:in|at|on|with) (?P<v>.+)",
)
SWITCHED_KIND = _saying(
    r"(?:i|we)(?:'ve| have)? (?:just |recently |finally )?(?:switched|changed) (?P<n>gyms|banks|doctors|dentists|editors|browsers|schools|majors|hotels|teams|providers|plans|phones|therapists|insurers|pharmacies|jobs|companies) to (?P<v>.+)",
)
HAVE_EVENT = _saying(
    rf"(?:i|we)(?:'ve| have)? (?:have|got|booked|scheduled|made|set up|arranged)?\s*(?:an?|my|our|the|another)?\s*(?P<n>(?:[\w'-]+ ){{0,3}}?(?:{alternatives(EVENTS)})) (?P<v>(?:on|at|for|in|this|next|tomorrow)\b.+)",
)
HOME_IS = _saying(r"home is (?:now |currently )?(?:in )?(?P<v>.+)")
PREFERS = _saying(
    r"(?:i|we) (?:now )?(?:prefer|like|love) (?P<v>.+?) (?:over|to|more than|better than) (?P<o>.+)",
)
NAMED_THING = _saying(
    r"(?:i|we|they)(?:'ve| have)? (?:just |now |finally )?(?:renamed|named|call|called) (?P<n>(?:my|our|the) (?:[\w-]+ ){0,2}?[\w-]+) (?P<v>(?-i:[A-Z])[\w-]+(?:\s(?-i:[A-Z])[\w-]+)?)$",
)
CHANGED_THING = _saying(
    r"(?:they|we|i|he|she|someone|somebody)(?:'ve| have| has| had to)? (?:just )?"
    r"(?:changed?|moved?|rescheduled|pushed|shifted|updated|replaced|rebooked|reset|got|have|bought) "
    r"(?:(?:back|up) )?(?P<n>(?:my|our|the|an? new|a different) (?:[\w'/-]+ ){0,4}?[\w'/-]+)$",
)
OF_OWNED = _saying(r"(?P<a>.+) (?:of|for|to) (?P<o>(?-i:[A-Z])[\w-]+)'s (?P<n>.+)")
TOPIC = _saying(
    r"(?P<n>(?:my|our|the) (?:[\w'/-]+ ){0,4}?[\w'/-]+?) (?:(?:has|have|just|recently|was|got|is|been) )*(?:changed|moved|different|new|wrong|outdated|updated|expired|rescheduled|postponed|replaced)$",
)
