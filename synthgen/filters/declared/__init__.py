"""Checks that a task declares on its own fields (`checks:`): one file a kind, listed in `kinds`.

They look at one sample alone. What compares samples, or asks a model, is a check of its own elsewhere.
"""
