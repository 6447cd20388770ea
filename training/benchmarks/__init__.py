"""Measuring the service as its callers meet it: latency, load, scale, and beside other ways to do the same."""
