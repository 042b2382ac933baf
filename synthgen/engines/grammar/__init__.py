"""Define grammars, which constrain completions; compile them before traffic and pass them to engines.

`synthgen.engines.prompts` writes prompts, and `synthgen.filters` checks the answers.
"""
