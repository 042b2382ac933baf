"""Ask endpoints that speak OpenAI's chat API, with a circuit breaker that routes between them.

`synthgen.engines.vllm` starts servers.
"""
