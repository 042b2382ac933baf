"""Decide the label of a sample from several sources, people among them, and what the sample weighs for a student.

Leaves asking the model to `synthgen.judge`, the command `synthgen label` to `synthgen.run.labelling`.
"""
