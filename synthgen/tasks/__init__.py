"""Load a task and its files: the YAML with its schema, seeds, eval rows, and rows of any supported format.

`synthgen.generate` requests samples, and `synthgen.filters` checks them.
"""
