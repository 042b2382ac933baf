"""Find phrases in texts that try to give orders to a model that reads them.

English patterns come from glin-profanity; the Chinese ones are here. Text that a model reads as data stands between
marks in every prompt of synthgen, so that a phrase that is missed does not succeed by itself.
"""

import re
from typing import NamedTuple

SEVERITIES = ("low", "medium", "high", "critical")

_CHINESE = (
    (r"(忽略|无视|忘记|忘掉|不要理会|不要遵守)(掉|你)?(之前|以前|前面|上面|上述|先前|以上|此前|所有|全部|一切|你)的?(所有|全部|一切)?的?"
     r"(指令|指示|提示词?|规则|命令|要求|设定|内容)", "critical"),
    (r"(显示|打印|输出|告诉我|透露|重复|泄露)(一下)?(你|您)?的?(完整的?)?(系统)(提示词?|指令|设定|消息)", "critical"),
    (r"你(现在|从现在起|从现在开始)(是|扮演|变成)(一个|一名)?(没有|不受)(任何)?(限制|约束|道德|审查)", "critical"),
    (r"(开发者|上帝|越狱|管理员|调试)模式", "critical"),
    (r"从现在(起|开始),?，?你(将|要|必须|只能)", "high"),
    (r"(新的|新)(指令|指示|规则|命令)[:：]", "high"),
    (r"(不要|别|无需)(再)?遵守(你的)?(规则|指令|准则|限制)", "high"),
)  # fmt: skip


_TRIGGERS = re.compile(
    r"instruction|system|prompt|rule|guideline|directive|constraint|safety|override|programming|configuration|context|enable"
    r"|capabilit|mode\b|jailb|unfiltered|uncensored|unrestricted|roleplay|act\s+as"
    r"|you\s+are\s+now|pretend|tools?\b|functions?\b|INST\]|<\||指令|指示|提示|规则|命令|要求|设定|内容|模式|限制|约束|审查|必须",
    re.IGNORECASE,
)


def may_order(text: str) -> bool:
    """Return False for a text without any word of a critical phrase. It is fast, and loads nothing."""
    return _TRIGGERS.search(text) is not None


class Injection(NamedTuple):
    """Hold one phrase: the kind of attack, and the text."""

    kind: str
    text: str


class InjectionFinder:
    """Find phrases of at least the severity `least`."""

    def __init__(self, least: str = "high") -> None:
        from glin_profanity.scanners.patterns.injection_patterns import INJECTION_PATTERNS

        wanted = SEVERITIES[SEVERITIES.index(least) :]
        self._patterns = [(each.category, each.pattern) for each in INJECTION_PATTERNS if each.severity in wanted]
        self._patterns += [("instruction_override", re.compile(each)) for each, how in _CHINESE if how in wanted]

    def __call__(self, text: str) -> Injection | None:
        """Return the first phrase in a text, or None."""
        found = (Injection(kind, hit.group()) for kind, pattern in self._patterns if (hit := pattern.search(text)))
        return next(found, None)
