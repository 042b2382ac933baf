"""Keeps what is secret or untrusted apart: secrets out of files, code out of configs, control tokens out of prompts.

Judging texts is left to `synthgen.filters` and `synthgen.judge`.
"""
