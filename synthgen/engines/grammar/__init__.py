"""Grammars: what a completion may be, compiled ahead of traffic, and how each engine is told.

Writing prompts is left to `synthgen.engines.prompts`, checking what came back to `synthgen.filters`.
"""
