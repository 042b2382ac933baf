"""Make candidates: one file a strategy. `synthgen.generate.kinds` lists them."""
