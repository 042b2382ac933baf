"""Decide the label of a sample from several label sources, including people, and its weight in the student's training.

Leave questions to a model to `synthgen.judge`, and the command `synthgen label` to `synthgen.run.labelling`.
"""
