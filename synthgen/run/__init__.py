"""Carry out a run from its command line to its end: preparation, the loop, stop rules, resuming and status.

The stages do the work. This package defines their order and the records that are kept.
"""
