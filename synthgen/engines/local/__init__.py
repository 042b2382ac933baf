"""Models of transformers in this process, held to a grammar by Outlines.

For machines where vLLM has no build.
"""
