"""Check candidates with rules on their text alone, before a judge costs engine time.

Leave comparisons by meaning to `synthgen.diversity`, and questions to a model to `synthgen.judge`.
"""
