"""Match the control tokens of chat templates, which a tokenizer reads as instructions and not as words.

In a prompt, such a token ends a turn or begins another. Each model has its own set. This module holds the spellings of
the model families in use, from ChatML and Llama to DeepSeek and GLM.
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
