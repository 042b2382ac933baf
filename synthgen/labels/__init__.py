"""Deciding the label of a sample from several sources, people among them, and what the sample then weighs.

Leaves asking the model to `synthgen.judge` and fitting the student to `synthgen.student`.
"""
