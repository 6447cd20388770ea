"""Batches of edges from bipartite graphs, from the draw to token ids."""
