"""Control tokens of chat templates: text that a tokenizer reads as an instruction, not as words.

In a prompt such a token ends a turn or begins another. Which ones a model knows is its own affair; these are the
spellings of the families in use, from ChatML and Llama to DeepSeek and GLM.
"""

import re

_SPELLINGS = (
    r"<[|｜][^<>|｜\n]{1,40}[|｜]>",  # <|im_start|>, <|endoftext|>, <|eot_id|>, <｜User｜>
    r"</?s>",
    r"<(?:bos|eos|pad|unk)>",
    r"\[/?INST\]",
    r"<</?SYS>>",
    r"<(?:start|end)_of_turn>",
    r"\[/?(?:SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\]",
    r"\[gMASK\]",
    r"<[se]op>",
)
CONTROL_TOKEN = re.compile("|".join(_SPELLINGS), re.I)
