"""Endpoints that speak OpenAI's chat API, and the circuit breaker that routes between them.

Starting a server is left to `synthgen.engines.vllm`.
"""
