"""Keep secrets out of files, code out of configs, and control tokens out of prompts.

`synthgen.filters` and `synthgen.judge` assess the quality of texts.
"""
