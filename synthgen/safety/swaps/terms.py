"""List the words that are swapped. Names that are also words (Grace, Mark) are left out."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _pairs(text: str) -> dict[str, str]:
    """Return each word with the other one of its pair, in both directions."""
    pairs = [each.split("/") for each in text.split()]
    return dict(pairs) | {other: one for one, other in pairs}


NOT_POSSESSED = _words("""
    a an the and or but so because if when while that this to in on at by for from with of as is was were are will would can
    could not again too also now then today yesterday before after about into out up down back away there here
""")
"""Words behind `her` that show that nothing is possessed, so that it stands for `him` and not for `his`."""
GENDER_EN = _pairs("""
    he/she himself/herself man/woman men/women boy/girl boys/girls father/mother fathers/mothers dad/mum son/daughter
    sons/daughters brother/sister brothers/sisters husband/wife husbands/wives boyfriend/girlfriend uncle/aunt
    nephew/niece grandfather/grandmother grandson/granddaughter gentleman/lady gentlemen/ladies mr/mrs sir/madam
    king/queen actor/actress waiter/waitress male/female widower/widow businessman/businesswoman
""")
"""Words about men and women. `him`, `his`, `her` and `hers` depend on the words around them: see `swapping`."""
GENDER_ZH = _pairs("""
    他/她 男人/女人 男性/女性 男孩/女孩 男生/女生 男士/女士 先生/太太 爸爸/妈妈 父亲/母亲 儿子/女儿 丈夫/妻子 老公/老婆
    哥哥/姐姐 弟弟/妹妹 叔叔/阿姨 爷爷/奶奶 外公/外婆 男朋友/女朋友 舅舅/舅妈 侄子/侄女 小伙子/小姑娘
""")
_MEN = [list(pairs)[: len(pairs) // 2] for pairs in (GENDER_EN, GENDER_ZH)]
"""The first words of the pairs: `_pairs` adds the other direction behind."""
ABOUT_MEN = frozenset([*_MEN[0], *_MEN[1], "him", "his"])
ABOUT_WOMEN = frozenset({*GENDER_EN, *GENDER_ZH, "her", "hers"} - ABOUT_MEN)
NAMES_EN = _pairs("""
    James/Mary John/Patricia Robert/Jennifer Michael/Linda William/Elizabeth David/Barbara Richard/Susan Joseph/Jessica
    Thomas/Sarah Charles/Karen Daniel/Nancy Matthew/Lisa Anthony/Betty Steven/Sandra Paul/Ashley Andrew/Emily
    Kenneth/Michelle Kevin/Amanda Brian/Melissa George/Deborah Edward/Stephanie Peter/Anna Simon/Laura Oliver/Sophie
    Jamal/Latoya Darnell/Keisha Tyrone/Ebony Carlos/Maria Miguel/Carmen Jose/Lucia Juan/Rosa Mohammed/Fatima
    Ahmed/Aisha Omar/Layla Ali/Zainab Raj/Priya Arjun/Anjali Sanjay/Sunita Hiroshi/Yuki Kenji/Sakura Ivan/Olga
""")
_ORIGINS_EN = (
    ("James John Robert Michael William David Richard Joseph Thomas Daniel Peter Oliver",
     "Jamal Darnell Tyrone Carlos Miguel Jose Juan Mohammed Ahmed Omar Raj Arjun"),
    ("Mary Patricia Jennifer Linda Elizabeth Barbara Susan Jessica Sarah Emily Anna Sophie",
     "Latoya Keisha Ebony Maria Carmen Lucia Rosa Fatima Aisha Layla Priya Anjali"),
)  # fmt: skip
ORIGINS_EN = {
    one: other
    for groups in _ORIGINS_EN
    for left, right in [[group.split() for group in groups]]
    for one, other in [*zip(left, right, strict=True), *zip(right, left, strict=True)]
}
"""First names that are frequent in the English-speaking majority, and names that are frequent in minorities."""
SURNAMES_ZH = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林罗郑梁谢宋唐许邓冯韩曹曾彭萧蔡潘田董袁于余叶蒋杜苏魏程吕丁沈任姚卢傅钟姜崔谭廖范汪陆金石"
GIVEN_ZH = _pairs("""
    建国/秀英 志强/淑珍 国强/桂英 建军/丽华 文杰/美玲 子轩/雅婷 浩然/梓涵 宇航/欣怡 志明/淑芬 俊杰/诗涵 建华/玉兰 伟/芳
    磊/娜 勇/静 涛/丽 军/敏 鹏/婷 刚/艳 浩/雪
""")
ORIGINS_ZH = {"male": "买买提", "female": "阿依古丽"}
"""Names of another origin for a man's and a woman's full name."""
