"""The LLM as a judge: one constrained token a question, read as a distribution."""
