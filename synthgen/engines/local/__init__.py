"""Run transformers models in this process, with Outlines to enforce grammars.

This is for machines where vLLM has no build.
"""
