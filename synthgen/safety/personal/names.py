"""Find names of people in English and Chinese texts, by lists of names and by the words around them.

The lists are those of Faker. A name that is in no list is found only behind a title or a phrase such as "my name is".
Names that are also words (Will, Rose, Jordan) count only together with a known surname.
"""

import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LOCALES = ("en_US", "en_GB", "en_IN", "en_IE", "en_NZ", "en_NG", "en_PK", "en_KE", "es_ES", "es_MX", "fr_FR", "de_DE", "it_IT",
            "nl_NL", "pl_PL", "pt_BR", "sv_SE", "no_NO", "da_DK", "vi_VN")  # fmt: skip
_ENGLISH = ("en_US", "en_GB", "en_IE", "en_NZ")
"""Locales whose names are frequent English words only because people have these names."""
_LOWER = "a-zà-öø-ÿāăćčęěğıłńňőřśşšťůūźżž"
_UPPER = "A-ZÀ-ÖØ-ÞČĐĞİŁŚŠŞŻŽ"
_LETTER = f"{_LOWER}{_UPPER}0-9_"
_CAPITAL = (
    f"(?:(?:Mc|Mac|O['’]|D['’]|De|Le|Van)?[{_UPPER}][{_LOWER}]+(?:[-'’][{_UPPER}]?[{_LOWER}]{{2,}})*|[{_UPPER}]\\.)"
)
_RUN = re.compile(
    f"(?<![{_LETTER}@])(?:{_CAPITAL})(?:[ \\u00a0](?:(?:de|da|del|della|van|von|der|den|bin|al|el|ter|la)[ \\u00a0])*(?:{_CAPITAL}))*(?![{_LETTER}@])"
)
_PART = re.compile(f"{_CAPITAL}")
_TITLES = _words("""
    Mr Mrs Ms Miss Mx Dr Prof Professor Sir Madam Dame Rev Nurse Sergeant Officer Captain Judge Senator Coach
    Uncle Aunt Auntie Sister Father
""")
_TITLE_BEFORE = re.compile(r"\b(?:Mr|Mrs|Ms|Mx|Dr|Prof|Rev|Sgt|Capt|Lt)\.?\s$")
_CUE = re.compile(
    r"(?:\bmy name(?: is|'s|’s)|\bname(?:d)?:?|\bcalled|\bI am|\bI['’]m|\bthis is|\bdear|\bhi|\bhello|\bhey|\bsigned,?"
    r"|\bregards,?|\bsincerely,?|\bcheers,?|\bthanks,?|\bask for|\bmanager|\bpatient|\bcustomer|\bapplicant|\bcolleague"
    r"|\bfriend|\bneighbou?r|\bteacher|\bdaughter|\bson|\bbrother|\bsister|\bhusband|\bwife|\bcousin|\bsincerely yours,?)\s+$",
    re.I,
)
# First names that are words, months, places or brands at least as often.
_AMBIGUOUS = _words("""
    Will Mark May April June August Summer Autumn Dawn Grace Hope Faith Joy Rose Daisy Ivy Violet Iris Olive
    Ruby Amber Jade Pearl Crystal Opal Ginger Hazel Willow Savannah Dakota Cheyenne Montana
    Carolina Georgia Virginia Victoria Florence Paris London Brooklyn Chelsea Sydney Austin Dallas Houston Jordan
    Israel Chad India China Kenya Asia America Lincoln son Madison Jefferson Washington Hunter Chase
    Mason Carter Cooper Tanner Parker Bill Rich Frank Art Drew Grant Gene Pat 
    Dick Guy Earnest Major Sterling Miles Dean Dale Glen Cliff Rusty Sandy Rocky in Jay Star
    Sky Skye Stormy Sunny Destiny Serenity Trinity Harmony Mercy Patience Prudence 
    Christian Pierce Angel Blessing Precious Princess Noble Royal King Prince Duke Earl Baron Van Lane Brook
    Reed Forest Woody Lance Buck Bud Buster Chance Chip Don Ford Gale Gill Jean Kitty Lee 
    Merry Misty Page Piper Polo Rex Rod Roman Sage Stone
    Wade Ward Winter Wren See Son Do Long Dung Mai Tan So An In Man Can Deal Gay Happy
    Monday Sunday Friday Tuesday Worth Young
""")
# Words that follow a first name in names of places, events and things, not of people.
_NO_SURNAME = _words("""
    Street Road Avenue Lane Drive Park Square Station Airport Hospital University College School Hotel Bridge
    River Lake County City Town Award Prize Day Week Museum Gallery Theatre Theater Stadium Church Cathedral
    Island Beach Falls Valley Mountain Creek Bay Harbor Harbour Port Building Tower House Hall Garden Gardens
    Market Mall Store Inc Ltd Corp Company Group Bank Foundation Institute Center Centre Cup League Express Line
    Act Bill Law Effect Theorem Monday Tuesday Wednesday Thursday Friday Saturday Sunday January February March
    April June July August September October November December The A An And But In On At For From With To Of It He
    She They We You I If When Then
""")
_NOT_NAMES = _words("""
    The A And But Or If When Then This That These Those There Here It He She They We You I My Your His Her Our
    Their What Who Why How Where Which All Any Some No Not Yes Please Thanks Thank Hello Hi Hey Dear Regards Best
    Kind Sincerely Everyone Everybody Team Sir Madam Friend Friends Folks Guys Love Customer Service Support
    Manager Wednesday Thursday Saturday January February March July September October November December English
    French German Spanish Chinese Japanese American British Indian Italian European Google Amazon Apple Microsoft
    Good Great New Old Very Just Also Only After Before Since While Because Although Order Sorry Glad Sure Really
    Well Ok Okay Oh On At For From With To Of As By Is Are Was Were Does Did Could Would Should Shall Must Have
    Has Had Let Get Go Going Looking Trying Writing Calling Having Still Now Today Tomorrow Yesterday Once Never
    Always Again Internet Christmas Easter Mum Mom Dad Nan Grandma Grandpa Doctor Nurse Father Mother Brother
    Sister Uncle Aunt World Earth Moon Sun Android Windows Linux Python Java
""")
_SURNAMES = (
    "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾丁魏薛叶阎余潘杜戴夏钟汪田任姜"
    "范方石姚谭廖邹熊金陆郝孔白崔康毛邱秦江史顾侯邵孟龙万段雷钱汤尹黎易常武乔贺赖龚文"
)
_COMPOUND = "欧阳|司马|上官|诸葛|东方|皇甫|尉迟|公孙|慕容|司徒|令狐|夏侯"
_GIVEN_CHARS = frozenset(
    "伟强磊洋勇军杰涛超明刚平辉鹏华飞鑫波斌宇浩凯健俊帆帅旭宁龙林欢佳阳建成峰国晨瑞志兵雷东博彬坤岩杨文利楠红霞芳娜敏静丽艳娟秀英玲"
    "桂兰燕萍梅琴云洁莉雪倩婷慧颖琳玉珍凤淑荣婉晴欣怡雅思涵梓萱子轩雨桐诗琪嘉悦若曦可馨一诺浩然宇航泽天佑俊熙海燕春小晓冬夏秋庆福贵生"
    "德义仁忠信宝金银世家长永安康乐新民爱国卫星光亮祥瑶瑾璐蕾薇菲萌莹珊璇彤妍昊晗逸辰铭哲睿翔震威毅恒远清源江河山川松柏竹菊荷莲月星"
    "少启振兴学良先贤达士正方圆美善真诚实雄豪杰立树森沛润泉彦君卓越鸿鹤凌霄绍维纪元亨利贞景润昌盛茂繁继承宗祖耀培根发财进步宏韬略"
)
_SURNAME = f"(?:{_COMPOUND}|[{_SURNAMES}])"
_HAN = "[\u4e00-\u9fff]"
_CHINESE_CUE = re.compile(
    rf"(?:姓名|联系人|收件人|收货人|负责人|经办人|申请人|患者|客户|名叫|我叫|我是|本人|叫做|同事|老师|同学|朋友|邻居|经理|医生|主任|教授|律师|店长|业主)"
    rf"(?:[:：是为叫]|名叫|\s)*({_SURNAME})({_HAN}{{1,2}})"
)
_CHINESE_TITLE = re.compile(
    rf"({_SURNAME})({_HAN}{{1,2}}?)(?=先生|女士|小姐|老师|医生|大夫|经理|同学|教授|师傅|主任|律师|阿姨|叔叔|护士|店长|太太)"
)
_CHINESE_PLAIN = re.compile(
    rf"(?:(?<![\u4e00-\u9fff])|(?<=[和与跟给请找问由对把被让向叫的、，。]))({_SURNAME})({_HAN}{{2}})(?!{_HAN}?[路街市省区县])"
)


def names(text: str) -> Iterator[tuple[int, int]]:
    """Yield the places of names of people, without their titles."""
    yield from _chinese(text)
    for run in _RUN.finditer(text):
        yield from _in_run(text, list(_PART.finditer(text, run.start(), run.end())))


def _in_run(text: str, words: list[re.Match[str]]) -> Iterator[tuple[int, int]]:
    """Yield the names in a run of capitalised words."""
    place = 0
    while place < len(words):
        word = words[place].group()
        before = text[max(0, words[place].start() - 30) : words[place].start()]
        length = _length(words, place, before)
        if word in _TITLES and place + 1 < len(words) and not length:
            place += 1
            rest = words[place].group()
            length = _surname_length(words, place) if rest not in _NOT_NAMES and rest not in _NO_SURNAME else 0
            if not length:
                continue
        if length:
            yield words[place].start(), words[place + length - 1].end()
        place += max(1, length)


def _length(words: list[re.Match[str]], place: int, before: str) -> int:
    """Return the number of words of the name that begins here; 0 where none begins."""
    first, last = _lists()
    word = words[place].group()
    follower = words[place + 1].group() if place + 1 < len(words) else ""
    if word in _NOT_NAMES:
        return 0
    if word in _AMBIGUOUS:
        cued = _CUE.search(before) is not None and follower not in _NO_SURNAME
        known = (follower in last or (follower and _is_rare(follower, 3.2))) and follower not in _NO_SURNAME
        return 1 + _surname_length(words, place + 1) if cued or known else 0
    if word in first:
        return 0 if follower in _NO_SURNAME and follower not in _NOT_NAMES else 1 + _surname_length(words, place + 1)
    if _TITLE_BEFORE.search(before):
        return 1 + _surname_length(words, place + 1)
    if _CUE.search(before) and word not in _NO_SURNAME and (_is_rare(word) or follower in last):
        return 1 + _surname_length(words, place + 1)
    if follower in last and follower not in _AMBIGUOUS | _NO_SURNAME and _is_rare(word) and _is_rare(follower, 4.3):
        return 1 + _surname_length(words, place + 1)
    return 0


def _surname_length(words: list[re.Match[str]], place: int) -> int:
    """Return the number of words from here on that continue a name: initials, further first names, surnames."""
    _, last = _lists()
    count = 0
    while place + count < len(words) and count < 3:
        word = words[place + count].group()
        if word in _NO_SURNAME or word in _NOT_NAMES:
            break
        if not word.endswith(".") and word not in last and not _is_rare(word, 4.8):
            break
        count += 1
    return count


@cache
def _lists() -> tuple[frozenset[str], frozenset[str]]:
    """Return the first names and the surnames of all locales, in Latin letters."""
    first: set[str] = set()
    last: set[str] = set()
    for locale in _LOCALES:
        provider = import_module(f"faker.providers.person.{locale}").Provider
        for attribute, names in (("first_names", first), ("last_names", last)):
            for sex in ("", "_male", "_female"):
                found = getattr(provider, f"{attribute}{sex}", None) or ()
                names.update(name for name in found if locale in _ENGLISH or _is_rare(name, 4.0))
    one_word = re.compile(_CAPITAL)
    return tuple(
        frozenset(name for name in names if len(name) > 2 and one_word.fullmatch(name)) for names in (first, last)
    )  # type: ignore[return-value]


@cache
def _is_rare(word: str, most: float = 3.6) -> bool:
    """Return True for a word that is rare in English text, on wordfreq's scale of 0 to 8."""
    from wordfreq import zipf_frequency

    return bool(zipf_frequency(word.lower(), "en") < most)


def _chinese(text: str) -> Iterator[tuple[int, int]]:
    taken: list[tuple[int, int]] = []
    for pattern in (_CHINESE_TITLE, _CHINESE_CUE, _CHINESE_PLAIN):
        for match in pattern.finditer(text):
            given, after = match.group(2), text[match.end(2) : match.end(2) + 1]
            length = len(given) if pattern is _CHINESE_TITLE else _given_length(given, after, pattern is _CHINESE_PLAIN)
            start, end = match.start(1), match.start(2) + length
            if length and all(end <= other[0] or start >= other[1] for other in taken):
                taken.append((start, end))
    yield from sorted(taken)


def _given_length(given: str, after: str, strict: bool) -> int:
    """Return how many characters belong to the given name."""
    usual = [char in _GIVEN_CHARS for char in given]
    if strict:
        return 2 if all(usual) else 0
    if len(given) == 2 and all(usual):
        return 2
    if usual[0]:
        return 1
    return len(given) if not re.match(_HAN, after) else 0
