"""Compare texts by meaning: embeddings, the FAISS index, the near-duplicate check, diversity metrics and alarms.

Leave checks on a single text to `synthgen.filters`, and questions to a model to `synthgen.judge`.
"""
