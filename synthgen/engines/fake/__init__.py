"""Run engines without a model, for tests, benchmarks and failure drills: replay, and a server with faults on demand.

They are configured like real engines.
"""
