"""Unified Work Embeddings: the model, the cached target space and the ranker."""
