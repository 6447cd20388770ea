"""Ranking files of queries: where they come from, what ranks them, where the answers go."""
