"""Judge candidates with an LLM that answers each question with one constrained token, read as a distribution.

Leave decisions that combine several label sources to `synthgen.labels`.
"""
