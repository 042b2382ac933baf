"""A task and its files: the YAML and its schema, seeds, eval rows, and reading rows of any supported format.

Asking for samples is left to `synthgen.generate`, checking them to `synthgen.filters`.
"""
