"""Implement the verbs `guide` and `review` on a task and a run folder.

Guide, batches, agreement and the files of other tools are in `synthgen.annotate`; sessions are those of `synthgen.labels`.
"""
