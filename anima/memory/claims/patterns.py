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

_FLAGS = re.IGNORECASE | re.VERBOSE
_ADVERBS = (
    r"(?:(?:currently|now|still|just|recently|actually|finally|also|already|really|officially|only"
    r"|mostly|usually|normally|always|originally|mainly|primarily|generally|typically|temporarily"
    r"|proudly|happily|both|all|since|then|even|ve|have|has|had|am|is|are|'m|'re|'s|been)\s+)*"
)
_BE = r"(?:am|is|are|'m|'re|'s|was\ made|became|have\ become|has\ become|have\ been|has\ been)"


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
    pattern = re.compile(rf"{adverbs}{words.replace('V', '(?P<v>.+)')}", _FLAGS)
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
    _way("address", r"(?:live|lives|living|reside|resides)\s+(?:now\s+)?(?:at|on)\s+(?P<v>\d.+)"),
    _way("home", r"(?:live|lives|living|reside|resides|residing|based|located|settled|stay|staying)\s+"
         r"(?:now\s+|currently\s+|down\s+|over\s+|up\s+|out\s+|alone\s+|here\s+|back\s+)*in\s+V", is_place),
    _way("moved", r"(?:moved|relocated|resettled|emigrated|immigrated)\s+(?:house\s+|home\s+|back\s+|over\s+|out\s+|away"
         r"\s+|down\s+|up\s+)*(?:from\s+.+?\s+)?to\s+V", is_place),
    _way("moved", r"(?:call|made|make)\s+(?P<v>(?-i:[A-Z])\w+(?:\s(?-i:[A-Z])\w+)?)\s+(?:my\s+)?home", is_place),
    _way("origin", r"(?:originally\s+)?(?:from|come\s+from|comes\s+from|hail\s+from|hails\s+from)\s+V", is_place),
    _way("birthplace", r"(?:was\s+|were\s+)?born\s+(?:and\s+(?:raised|bred)\s+)?in\s+V", is_place),
    _way("birthday", r"(?:was\s+|were\s+)?born\s+(?:on|in)\s+V", lambda p: next(values.moments(p), ("", ""))[0] == "day"),
    _way("grew up", r"(?:grew\s+up|was\s+raised|raised)\s+in\s+V", is_place, many=True),
    _way("job", r"(?:(?:work|works|working|worked\s+up\s+to|employed|started|starting|hired|serve|serves|serving"
         r"|got\s+(?:a|the|this|my)?\s*(?:new\s+)?(?:job|position|role|gig)|promoted|took\s+a\s+(?:new\s+)?(?:job|position|role)"
         r"|(?:got|took|accepted|landed|started|have|has)\s+(?:a|the|my)\s+(?:new\s+)?(?:job|position|role|gig))\s+)"
         r"(?:out\s+|working\s+|there\s+)?(?:as)\s+(?:an?\s+|the\s+|their\s+|our\s+)?V", _is_role),
    _way("job", r"(?:got\s+|was\s+|were\s+|get\s+)?promoted\s+to\s+(?:an?\s+|the\s+)?V", _is_role),
    _way("job", rf"(?:{_BE}\s+)?(?:an?\s+|the\s+)(?:new\s+)?V\s+by\s+(?:trade|profession|training)\b"),
    _way("job", r"(?:became\s+|become\s+)?(?:an?\s+|the\s+)(?:new\s+)?V", is_profession, bare=True),
    _way("employer", r"(?:work|works|working|employed|interning|intern|interns|started(?:\s+working|\s+a\s+(?:new\s+)?job)?"
         r"|got\s+(?:a\s+(?:new\s+)?)?(?:job|hired)|hired|took\s+a\s+(?:new\s+)?job|start(?:ed)?\s+work(?:ing)?)\s+"
         r"(?:over\s+|now\s+|full[- ]time\s+|part[- ]time\s+|remotely\s+|as\s+.+?\s+)*(?:at|for|with|by)\s+V", is_employer),
    _way("employer", r"(?:joined|(?:switched|changed)\s+jobs\s+to)\s+(?P<v>[A-Z][\w&'.-]*(?:\s[A-Z][\w&'.-]*)*)"
         r"(?=\s+as\b|$)", lambda p: is_employer(p) and p[0].isupper() and p.split()[0].casefold() not in LANGUAGES),
    _way("employer", r"(?:quit|left|resigned\s+from|retired\s+from|got\s+fired\s+from|got\s+laid\s+off\s+(?:from|by))\s+"
         r"(?:(?:my\s+)?(?:old\s+|previous\s+)?(?:job|position|role)\s+(?:at|with|for)\s+)?V",
         lambda p: is_employer(p) and values.proper(p), holds=False),
    _way("job|employer", r"(?:quit|left|lost|resigned\s+from|retired\s+from)\s+(?P<v>my\s+(?:old\s+)?(?:job|position))$", holds=False),
    _way("age", r"(?:turned\s+|turning\s+|aged\s+)?V", _is_age, bare=True),
    _way("allergy", r"(?:deathly\s+|severely\s+|very\s+|super\s+|highly\s+|mildly\s+)?allergic\s+to\s+V",
         lambda p: _is_liked(p), many=True),
    _way("allergy", r"(?:have|has|got|developed)\s+(?:an?\s+)?(?:severe\s+|bad\s+|serious\s+|mild\s+)?V\s+allergy\b", _is_liked, many=True),
    _way("allergy", r"(?:have|has|got|developed)\s+an?\s+(?:severe\s+|bad\s+|mild\s+)?allergy\s+to\s+V", _is_liked, many=True),
    _way("diet", r"(?:went|gone|go|turned|turn|became|become|eat|eats|eating|keep|keeps|following\s+a|follow\s+a|on\s+a)?\s*"
         r"(?:an?\s+)?(?:strictly\s+|strict\s+|fully\s+|completely\s+|100%\s+)?V", lambda p: p.casefold().removesuffix(" diet") in DIETS),
    _way("partner's name", r"(?:broke\s+up\s+with|split\s+up\s+with|split\s+from|divorced|left)\s+V",
         lambda p: values.is_name(p) and p.split()[0].casefold() not in LANGUAGES, holds=False),
    _way("partner's name", r"(?:dating|seeing|married\s+to|engaged\s+to|going\s+out\s+with|in\s+a\s+relationship\s+with)\s+V",
         lambda p: values.is_name(p) and p.split()[0].casefold() not in LANGUAGES),
    _way("relationship", r"(?:got\s+|getting\s+)?V", lambda p: p.casefold() in STATUSES, bare=True),
    _way("car", r"(?:drive|drives|driving)\s+(?:around\s+)?(?:an?\s+|my\s+|the\s+)?(?:new\s+)?V", values.proper),
    _way("car", r"(?:bought|got|own|owns|leased)\s+(?:an?\s+|my\s+)?(?:new\s+)?car,?\s+an?\s+V", values.short),
    _way("language", r"(?:speak|speaks|fluent\s+in)\s+(?:fluent\s+|some\s+)?V",
         lambda p: p.casefold() in LANGUAGES, many=True),
    _way("school", r"(?:go|goes|going|transferred)\s+to\s+V", _is_plainly_school),
    _way("school", r"(?:attend|attends|attending|study|studies|studying|enrolled|transferred|enrolling|a\s+student"
         r"|got\s+into|got\s+accepted|switched\s+schools)\s*(?:(?:to|at|in|into)\s+)V", _is_school),
    _way("school", r"(?:attend|attends|attending)\s+V", _is_school),
    _way("major", r"(?:study|studies|studying)\s+V", lambda p: p.casefold() in SUBJECTS),
    _way("major", r"(?:majoring|major|majored|majors)\s+in\s+V"),
    _way("first language", r"a\s+native\s+V\s+speaker", lambda p: p.casefold() in LANGUAGES),
    _way("likes", r"(?:like|likes|love|loves|enjoy|enjoys|adore|adores|into|a\s+(?:big\s+|huge\s+)?fan\s+of|prefer|prefers|obsessed\s+with)\s+V",
         _is_liked, many=True),
    _way("dislikes", r"(?:hate|hates|dislike|dislikes|detest|detests|despise|despises)\s+V", _is_liked, many=True),
    _way("likes", r"(?:stopped\s+(?:liking|loving|enjoying)|went\s+off|gone\s+off)\s+V", _is_liked, many=True, holds=False),
    _way("drinks", r"(?:drink|drinks)\s+V", _is_liked, many=True),
    _way("drinks", r"(?:stopped|quit)\s+drinking\s+V", _is_liked, many=True, holds=False),
    _way("plays", r"(?:play|plays)\s+(?:the\s+)?V", _is_liked, many=True),
    _way("commute", r"(?:take|takes|ride|rides)\s+(?:the\s+|my\s+)?V\s+to\s+(?:work|school|the\s+office|campus)", values.short),
    _way("commute", r"(?P<v>walk|bike|cycle|drive|bus|bicycle|carpool)s?\s+to\s+(?:work|school|the\s+office|campus)"),
    _way("name", r"(?:called|named|go\s+by|goes\s+by|known\s+as|changed\s+(?:my|her|his)\s+name\s+to)\s+V", values.is_name),
    _way("wake-up time", r"(?:wake|wakes|get|gets)\s+up\s+(?:every\s+(?:day|morning)\s+)?(?:around|at)\s+V", lambda p: next(values.moments("at " + p), None) is not None),
    _way("bedtime", r"go(?:es)?\s+to\s+(?:bed|sleep)\s+(?:around|at)\s+V", lambda p: next(values.moments("at " + p), None) is not None),
    _way("height", r"(?P<v>\d'\s?\d{1,2}\"?|\d{3}\s?cm(?:\s+tall)?|\d(?:\.\d+)?\s?(?:m|feet|ft)(?:\s+\d+)?\s+tall)$"),
    _way("weight", r"(?:weigh|weighs)\s+V", values.identifier),
)  # fmt: skip
"""What is said of a person after “I”, “my sister” or a name; the first that fits each attribute."""

_PERSON = alternatives(RELATIONS)
FIRST = re.compile(
    r"(?:i|we)(?P<be>'m|'re|'ve|\s+am|\s+are)?\s+|(?:i'?m|im|ive|i've)\s+", re.IGNORECASE
)
RELATIVE = re.compile(
    rf"(?:my|our)\s+(?:new\s+|dear\s+|lovely\s+|old\s+)?(?P<r>{_PERSON})(?:,?\s+(?P<n>(?-i:[A-Z])[\w-]+)(?:,|(?=\s)))?(?P<be>'s(?!\s+\w+\s+(?:is|are)\b))?\s+",
    re.IGNORECASE,
)
NAMED = re.compile(
    r"(?P<n>[A-Z][a-z'-]+(?:\s[A-Z][a-z'-]+)?)\s+(?=(?:now\s+|just\s+|still\s+|also\s+|has\s+|recently\s+)?"
    r"(?:lives?|living|moved|relocated|works?|is|turned|was|drives?|studies|goes|attends|joined|speaks|has|got|loves|likes|hates)\b)"
)
_COPULA = (
    r"(?:(?:is|are|'s|was|were|will\ be|has\ been|have\ been|got|became|has\ become|should\ now\ be)(?:\ now|\ currently|\ actually|\ going\ to\ be|\ just)?"
    r"(?:\ (?:changed|moved|switched|set|reset|updated|rescheduled|renamed|pushed(?:\ back)?|postponed|extended|shifted|bumped(?:\ up)?|brought\ forward|delayed"
    r"|relocated|scheduled|planned|booked|due|called|named|transferred|reassigned|fixed|changing|starting|parked|located|kept|stored|hidden)"
    r"(?:\ from\ .+?)?(?:\ (?:to|for|as|until|till|back\ to|into))?)?"
    r"|changed(?:\ from\ .+?)?\ to|moved(?:\ from\ .+?)?\ to|switched(?:\ from\ .+?)?\ to|now\ is|starts?|begins?|leaves?|departs?|arrives?|ends?|opens?|closes?|takes\ place|happens|has\ changed(?:\ from\ .+?)?\ to|has\ moved(?:\ from\ .+?)?\ to|(?:went|gone|has\ gone|was\ raised|increased|dropped|rose|fell|has\ increased|has\ dropped|has\ risen)(?:\ up|\ down)?(?:\ from\ .+?)?\ to|comes?)"
)
THING = re.compile(
    rf"(?P<d>my|our|the|this)\s+(?P<n>(?:[\w'&/-]+\s+){{0,6}}?[\w'&/-]+?)(?P<c>(?:\s+|(?='s\ (?!\w+\ (?:is|are|was|has)\b))){_COPULA})\s+(?P<v>.+)",
    _FLAGS,
)
OWNED = re.compile(
    rf"(?P<d>(?:my|our|the)\s+)?(?P<o>{_PERSON}|(?-i:[A-Z])[\w-]+)'s?\s+(?P<n>.+)", re.IGNORECASE
)
OF_PERSON = re.compile(rf"(?P<n>.+)\s+of\s+(?:my|our|the)\s+(?P<o>{_PERSON})$", re.IGNORECASE)
NAMES_OWNED = re.compile(
    rf"(?P<o>[A-Z][\w-]+)'s\s+(?P<n>(?:[\w-]+\s+){{0,3}}?[\w-]+)(?P<c>\s+{_COPULA})\s+(?P<v>.+)",
    re.VERBOSE,
)
CALL_ME = re.compile(
    r"(?:(?:you\ can|just|please|everyone|everybody|people|friends|they|my\ friends|folks)\s+)*calls?\s+me\s+(?P<v>.+)",
    _FLAGS,
)
NAMES = re.compile(r"(?:the\s+)?name(?:'s|\s+is)\s+(?P<v>.+)", re.IGNORECASE)
INTRODUCED = re.compile(
    r"(?:this\s+is|it's|i'm|i\s+am)\s+(?P<v>(?-i:[A-Z])[\w-]+)(?:\s+(?:here|speaking))?$",
    re.IGNORECASE,
)
HAS_NAMED = re.compile(
    rf"(?:i|we)(?:'ve|\s+have|\s+also)?\s+(?:just\s+|also\s+|recently\s+)?(?:have|has|got|had|adopted|own|bought|rescued|getting)\s+(?:an?|one|another|two|this)?\s*(?:[\w-]+\s+){{0,3}}?"
    rf"(?P<r>{_PERSON})\s*,?\s+(?:and\s+)?(?:named|called|whose\s+name\s+is|who\s+is\s+called|who\s+is\s+named|(?:his|her|its)\s+name\s+is)\s+(?P<v>.+)",
    re.IGNORECASE,
)
COUNTED = re.compile(
    rf"(?:i|we)(?:'ve)?\s+(?:now\s+)?(?:have|got|have\s+got)\s+(?:now\s+)?(?P<v>\d+|{alternatives(NUMBERS)})\s+(?P<n>{alternatives(FAMILY_COUNTED)})(?=[.,!]|$|\s+(?:now|and|in total))",
    re.IGNORECASE,
)
CHANGED = re.compile(
    r"(?:i|we|they|he|she|it|someone|admin|the\s+\w+)(?:'ve|\s+have|\s+has|\s+had\s+to|\s+got)?\s+(?:just\s+|now\s+|recently\s+|also\s+|finally\s+|already\s+|decided\s+to\s+)*"
    r"(?:changed?|switched|moved?|updated|renamed|reset|rescheduled|pushed(?:\s+back)?|postponed|shifted|swapped|set|bumped|brought|transferred|relocated|reassigned|made)\s+"
    r"(?P<n>(?:my|our|the|his|her|its|this)\s+(?:[\w'-]+\s+){0,4}?[\w'-]+?|it|that|this)(?:\s+(?:forward|back|up|over))?(?:\s+from\s+(?P<o>.+?))?\s+(?:to|for|into|until)\s+(?:be\s+)?(?P<v>.+)",
    re.IGNORECASE,
)
BECAME_NAMED = re.compile(
    rf"(?:i|we)(?:'ve|\s+have)?\s+(?:just\s+|now\s+|finally\s+)?(?:named|renamed|call|called|calling)\s+(?:my|our|the|her|him|it)\s*(?P<r>{_PERSON})?\s+(?:to\s+)?(?P<v>(?-i:[A-Z])[\w-]+)(?:\s+(?:now|instead))?$",
    re.IGNORECASE,
)
KEPT = re.compile(
    r"(?:i|we)(?:'ve|\s+have)?\s+(?:now\s+|just\s+|always\s+|usually\s+|also\s+)?(?:keep|kept|put|store|stored|left|hid|hide|moved|parked|park)\s+(?P<n>(?:my|our|the)\s+(?:[\w'-]+\s+){0,3}?[\w'-]+?)\s+"
    r"(?:over\s+)?(?P<v>(?:in|inside|at|on|under|behind|beside|near|next\s+to|on\s+top\s+of|to)\s+.+)",
    re.IGNORECASE,
)
USES_AS = re.compile(
    r"(?:(?:i|we)(?:'m|'ve)?\s+)?(?:please\s+)?(?:now\s+|just\s+|mostly\s+|currently\s+)?(?:use|using|picked|chose|pick|chosen|selected|went\s+with)\s+(?P<v>.+?)\s+as\s+(?P<n>(?:my|our|the)\s+.+)",
    re.IGNORECASE,
)
INVERSE = re.compile(
    r"(?P<v>[\w'&+-]+(?:\s+[\w'&+-]+){0,4}?)\s+(?:is|are|was\ made|became|has\ become)\s+(?:now\s+|also\s+)?(?P<n>(?:my|our)\s+.+)",
    re.IGNORECASE,
)
SWITCHED = re.compile(
    r"(?:i|we|they|he|she)(?:'ve|'m|\s+have|\s+am)?\s+(?:now\s+|just\s+|recently\s+|finally\s+|also\s+)*(?:switched|swapped|changed|went|moved|converted|traded|replaced|upgraded|exchanged|gave\s+up|switching)\s+"
    r"(?:over\s+)?(?:from\s+)?(?:my\s+|the\s+|an?\s+|our\s+)?(?:old\s+)?(?P<o>.+?)\s+(?:to|for|with|in\s+for|in\s+favou?r\s+of)\s+(?:an?\s+|the\s+|my\s+)?(?:new\s+)?(?P<v>.+)",
    re.IGNORECASE,
)
INSTEAD = re.compile(
    r"(?P<s>.+?)\s+(?:instead\s+of|rather\s+than|in\s+place\s+of|not)\s+(?:the\s+|an?\s+|my\s+)?(?P<o>.+)",
    re.IGNORECASE,
)
PRONOUN = re.compile(
    rf"(?:it|that|this)(?P<c>'s(?:\s+been)?(?:\s+(?:moved|changed|switched|pushed(?:\s+back)?|rescheduled|postponed|set)\s+to)?|\s+{_COPULA})\s+(?:now\s+|actually\s+|currently\s+|just\s+|really\s+)*(?:called\s+|named\s+)?(?P<v>.+)",
    _FLAGS,
)
NOT_BUT = re.compile(
    r"(?P<s>.*?)\s*,?\s*(?:not\s+)?(?P<o>[^,]+?)\s*,?\s+but\s+(?:rather\s+|now\s+|instead\s+|it's\s+(?:now\s+)?|actually\s+)?(?P<v>.+)",
    re.IGNORECASE,
)
REACHED = re.compile(
    r"(?:you\s+can\s+|you\s+may\s+|please\s+|just\s+)*(?:reach|text|call|email|e-mail|contact|phone|ring|message|write\s+to|mail)\s+me\s+(?:now\s+)?(?:at|on|under|via)\s+(?P<v>.+)",
    re.IGNORECASE,
)
GAVE_UP = re.compile(
    r"(?:i|we)(?:'ve|\s+have|\s+just|\s+finally|\s+recently)*\s+(?:sold|gave\s+up|given\s+up|stopped|quit|dropped|got\s+rid\s+of|cancell?ed|gave\s+away|abandoned|ditched)\s+"
    r"(?:(?:drinking|eating|playing|using|being|going\s+to|taking|doing|learning|studying|driving|working\s+at|working\s+for)\s+)?(?:my\s+|the\s+|our\s+|an?\s+)?(?:old\s+)?(?P<o>.+)",
    re.IGNORECASE,
)
PARTED = re.compile(
    r"(?P<v>[A-Z][\w-]+)\s+and\s+(?:[Ii]|me)\s+(?:have\s+|just\s+|recently\s+|'ve\s+)*(?:broke\s+up|broken\s+up|split(?:\s+up)?|separated|(?:got\s+)?divorced|are\s+(?:no\s+longer\s+together|over|done))",
)
AM_AT = re.compile(
    r"(?:i|we)(?:'m|'re|\s+am|\s+are)\s+(?:now\s+|currently\s+)?(?:in|at|on|with)\s+(?P<v>.+)",
    re.IGNORECASE,
)
SWITCHED_KIND = re.compile(
    r"(?:i|we)(?:'ve|\s+have)?\s+(?:just\s+|recently\s+|finally\s+)?(?:switched|changed)\s+(?P<n>gyms|banks|doctors|dentists|editors|browsers|schools|majors|hotels|teams|providers|plans|phones|therapists|insurers|pharmacies|jobs|companies)\s+to\s+(?P<v>.+)",
    re.IGNORECASE,
)
HAVE_EVENT = re.compile(
    rf"(?:i|we)(?:'ve|\s+have)?\s+(?:have|got|booked|scheduled|made|set\s+up|arranged)?\s*(?:an?|my|our|the|another)?\s*(?P<n>(?:[\w'-]+\s+){{0,3}}?(?:{alternatives(EVENTS)}))\s+(?P<v>(?:on|at|for|in|this|next|tomorrow)\b.+)",
    re.IGNORECASE,
)
HOME_IS = re.compile(r"home\s+is\s+(?:now\s+|currently\s+)?(?:in\s+)?(?P<v>.+)", re.IGNORECASE)
PREFERS = re.compile(
    r"(?:i|we)\s+(?:now\s+)?(?:prefer|like|love)\s+(?P<v>.+?)\s+(?:over|to|more\s+than|better\s+than)\s+(?P<o>.+)",
    re.IGNORECASE,
)
NAMED_THING = re.compile(
    r"(?:i|we|they)(?:'ve|\s+have)?\s+(?:just\s+|now\s+|finally\s+)?(?:renamed|named|call|called)\s+(?P<n>(?:my|our|the)\s+(?:[\w-]+\s+){0,2}?[\w-]+)\s+(?P<v>(?-i:[A-Z])[\w-]+(?:\s(?-i:[A-Z])[\w-]+)?)$",
    re.IGNORECASE,
)
CHANGED_THING = re.compile(
    r"(?:they|we|i|he|she|someone|somebody)(?:'ve|\s+have|\s+has|\s+had\s+to)?\s+(?:just\s+)?"
    r"(?:changed?|moved?|rescheduled|pushed|shifted|updated|replaced|rebooked|reset|got|have|bought)\s+"
    r"(?:(?:back|up)\s+)?(?P<n>(?:my|our|the|an?\s+new|a\s+different)\s+(?:[\w'/-]+\s+){0,4}?[\w'/-]+)$",
    re.IGNORECASE,
)
OF_OWNED = re.compile(
    r"(?P<a>.+)\s+(?:of|for|to)\s+(?P<o>(?-i:[A-Z])[\w-]+)'s\s+(?P<n>.+)", re.IGNORECASE
)
TOPIC = re.compile(
    r"(?P<n>(?:my|our|the)\s+(?:[\w'/-]+\s+){0,4}?[\w'/-]+?)\s+(?:(?:has|have|just|recently|was|got|is|been)\s+)*(?:changed|moved|different|new|wrong|outdated|updated|expired|rescheduled|postponed|replaced)$",
    re.IGNORECASE,
)
