"""Near-duplicates by meaning: embeddings, the FAISS index, and the check on top of them."""
