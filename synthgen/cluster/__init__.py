"""Run vLLM servers in a Ray cluster (`engine=ray`).

How several servers become one engine belongs to `synthgen.engines.vllm.replicas`.
"""
