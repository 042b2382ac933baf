"""Decides labels, with people among the sources: which samples a person is asked about, how, and what the answers say.

Leaves the command `synthgen label` to `synthgen.labelling`, and how a student uses the answers to the run.
"""
