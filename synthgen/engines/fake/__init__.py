"""Engines without a model, for tests, benchmarks and fire drills: replay, and a server that commits faults on demand.

They are configured like real ones.
"""
