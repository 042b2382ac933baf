"""List marks and words that a whole text hardly ever ends with, by language.

A word is listed only if less than 1% of its uses end a text. The English lists were checked on 37,000 rows by real users.
"""

import re
from collections.abc import Sequence

OPEN_MARK = re.compile(r"""(?:[,:、，；：،؛([{（［｛【〔“‘„«‹「『《〈–—―&]|(?<=\w)-|(?<=\s)[-"'])$""")
"""Match a mark that must be followed by more text. A straight quote opens a quotation only after a space."""
SMILEY = re.compile(r"[:;=]-?[(\[{]$")
POSSESSIVE = re.compile(r"(?:^|\s)[^\W\d_A-Z]+['’]s$")
"""Match apostrophe-s after a word in lower case: "at Wendy's" is whole, "the card's" is not."""
UNSPACED_WORD = re.compile(
    "(?:因为|如果|但是|虽然|以及|而且|并且|或者|不仅|不但|由于|关于|对于|除了|为了|甚至|因此|所以|可是|即使|尽管|既然|无论|只要|除非|假如|例如|"
    "比如|包括|根据|按照|随着|直到|从而|然而|而是|特别是|尤其是|正在|已经|能够|非常|每|或|又|其中|(?<![暂姑])且|(?<!而)再|(?<!得)很|"
    "(?<![温平柔总饱缓随共附亲祥讲求议暖唱失调搅违言])和|(?<![参给赠授])与|(?<![一二两三四五六七八九十几拖车火手门枪刀半])把|"
    "(?<![棉毛厚盖叠晒换床凉绒植])被|(?<![服听顺遵盲侍无主依屈信])从|"
    "及び|および|または|もしくは|ならびに|そして|しかし|なぜなら|และ|เพราะ|เพื่อ|ซึ่ง|โดย)$"
)
"""Match a Chinese, Japanese or Thai function word at the end of a text in simplified characters, and no longer word that
ends in its characters, such as 温和."""
PAIRED_MARKS = (("「", "」"), ("『", "』"), ("《", "》"), ("【", "】"), ("“", "”"))


def _by_language(**lists: str) -> dict[str, frozenset[str]]:
    return {language: frozenset(words.split()) for language, words in lists.items()}


CLOSED = _by_language(
    en="the a an my your our their its every and or but nor than because unless whether although whereas into onto via per "
    "without during upon toward towards despite whose which very i'd i'll i'm i've we'd we'll we're we've you'd you'll "
    "you're you've he'd he'll she'd she'll they'd they'll they're they've what's where's who's that's there's it'll",
    de="der die dem den des ein eine einen einem einer eines und oder aber weil dass wenn sondern von für mein meine meinen "
    "meinem meiner unser unsere unseren ihre ihren seine seinen",
    fr="le les des du de un une et ou mais que pour dans chez par mon ma mes ton ta tes ses notre votre leurs ce cette ces",
    es="el los las del al de y e o pero en con mi mis tu tus su sus unos unas",
    it="il lo gli un una del della dei delle degli nel nella nei nelle e o ma di con per mio mia miei mie",
    pt="os as um uma do da dos das na nas de e ou mas com em por meu minha meus minhas seu sua",
    nl="de een en of maar van mijn jouw onze omdat terwijl",
    ar="أن لأن لان لكن ولكن الذي التي الذين إلى الى أو او ثم حيث على عن مع كما",
)
"""Articles, possessives, conjunctions, and prepositions that always precede their noun."""

STRANDED = _by_language(
    en="of to for with in on at by from as about between near while i am will would could should can may might must cannot",
)
"""Words that end a text only after certain other words; `strands` decides."""

CLIPPED = frozenset("app admin info id pub demo euro min ave gif db repo dev proc fest ep tab fb cab deli".split())  # noqa: SIM905
"""Short words that end texts more often than their frequency suggests, although they begin many longer words."""

PARTICLES = _by_language(
    de="an ab auf aus ein mit zu vor nach um weg los hin her bei",
    nl="aan af op uit in mee toe voor na om weg",
)
"""Particles of separable verbs, which end sentences although they begin many longer words: "kam gestern an"."""

_ASKS = frozenset("what which who whom whose where when how why whatever whats wheres whos".split())  # noqa: SIM905
_BEFORE = frozenset("i you we they he she it this that me us them him her come comes came coming".split())  # noqa: SIM905
_SUBJECTS = frozenset("i you we they he she it to can not".split())  # noqa: SIM905
_BEHIND_VERBS = frozenset(("in", "from"))
_AUXILIARIES = frozenset("will would could should can may might must cannot".split())  # noqa: SIM905
_ANSWERS = frozenset("as if than yes no so".split())  # noqa: SIM905
_COMPANY = {
    "in": "log logged logging logs check checked sign signed plug drive add come go let fill built".split(),  # noqa: SIM905
    "by": "close near stop go goes drop pass stand come".split(),  # noqa: SIM905
    "i": "and or than do did am can could should shall will would may have".split(),  # noqa: SIM905
    "for": "is are was were".split(),  # noqa: SIM905
    "near": "am is are".split(),  # noqa: SIM905
    "while": ["a"],
}
_SWITCHES = frozenset(
    "turn turns turned turning switch put keep leave light lights lamp plug socket going go hold carry come move hang".split()  # noqa: SIM905
)


def strands(words: Sequence[str]) -> bool:
    """Return True when the last word, one of STRANDED, may end a text: "which city are you in", "I can't log in"."""
    last, before = words[-1], words[:-1]
    if not before or before[-1] in _COMPANY.get(last, ()):
        return True
    asks = any(word.partition("'")[0] in _ASKS for word in before)
    if last == "am":
        return asks or before[-1] != "i"
    if last in _AUXILIARIES:
        return asks or not _ANSWERS.isdisjoint(before)
    if last == "i":
        return False
    if last == "on" and not _SWITCHES.isdisjoint(before):
        return True
    if not asks:
        return False
    return before[-1] in _BEFORE or (last in _BEHIND_VERBS and not _SUBJECTS.isdisjoint(before[-2:-1]))
