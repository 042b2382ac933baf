"""Run models: engines, grammars, prompts and the bundled models."""
