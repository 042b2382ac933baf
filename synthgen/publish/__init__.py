"""Publish a run's dataset and student: to the Hugging Face hub, or to a store that fsspec reaches.

The files come from the ledger and the student's folder. `scan` looks for personal data, secrets and local paths in them.
"""
