"""Switch the thinking of reasoning models on and off, and leave room for it in token limits.

A dialect has the parameter that switches thinking (`thinking`, `least_effort`), and when its model thinks (`thinks`).
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from synthgen.engines.base import ModelConfig
from synthgen.records import THINKING_ONLY, Completion, Json, Request

if TYPE_CHECKING:
    from synthgen.engines.http.dialect import Dialect

SWITCHES = ("chat_template_kwargs", "reasoning_effort", "none")
"""Ways to switch thinking: variables of the chat template (vLLM, SGLang, llama.cpp), OpenAI's key, none."""
EFFORTS = ("none", "minimal", "low")
"""Values of reasoning_effort that ask for little thinking, the least first. Only the first one switches it off."""
THINKS = ("never", "by_default", "always")
"""Name the requests on which a model thinks: only where asked to; unless asked not to; all of them."""
_EFFORT = "medium"  # OpenAI's own default


def switch(dialect: "Dialect", thinking: bool | None) -> Json:
    """Return the keys of a request that switch thinking on or off; none where no switch is needed or known."""
    if thinking is None or (not thinking and dialect.thinks == "never"):
        return {}
    if dialect.thinking == "chat_template_kwargs":
        return {"chat_template_kwargs": template_variables(thinking)}
    if dialect.thinking == "reasoning_effort":
        return {"reasoning_effort": _EFFORT if thinking else dialect.least_effort}
    return {}


def template_variables(thinking: bool) -> Json:
    """Return the chat template's variables: the name that most models read, and that of DeepSeek and Granite."""
    return {"enable_thinking": thinking, "thinking": thinking}


def may_think(thinks: str, thinking: bool | None) -> bool:
    """Return True where a model with this `Dialect.thinks` may think at a request with this `Request.thinking`."""
    return thinks != "never" if thinking is None else thinking or thinks == "always"


def room(dialect: "Dialect", request: Request) -> int:
    """Return how many tokens a request may take for thinking, in addition to those of its answer."""
    return request.sampling.thinking_tokens if may_think(dialect.thinks, request.thinking) else 0


def has_thought(completion: Completion) -> bool:
    """Return True where an answer shows that the model thought, even if the endpoint hides its thinking."""
    return bool(completion.thinking or completion.thinking_tokens) or completion.finish_reason == THINKING_ONLY


def rooms(model: ModelConfig, dialects: Iterable[Json]) -> tuple[int, int]:
    """Return the tokens of the window to leave free for thinking, for requests that write samples and for the judge's.

    `dialects` are those of the run's endpoints as JSON. There are none before the engine has started, and none for
    engines without endpoints.
    """
    known = [str(one.get("thinks", "never")) for one in dialects]
    asked = model.asked_to_think
    generate = asked is True or any(may_think(thinks, asked) for thinks in known)
    judge = any(may_think(thinks, False) for thinks in known)
    return model.thinking_tokens * generate, model.thinking_tokens * judge
