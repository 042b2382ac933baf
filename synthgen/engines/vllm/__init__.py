"""Run vLLM on this machine, as a supervised server or in this process.

`synthgen.engines.http` speaks HTTP with a server.
"""
