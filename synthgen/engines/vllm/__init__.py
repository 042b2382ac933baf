"""vLLM on this machine, as a supervised server or in a process of its own.

HTTP with a server is left to `synthgen.engines.http`.
"""
