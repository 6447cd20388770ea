"""Batches of edges, drawn from bipartite graphs."""
