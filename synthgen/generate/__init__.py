"""Strategies: what to ask for next, from the pool."""
