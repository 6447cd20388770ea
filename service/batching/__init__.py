"""Continuous batching: requests wait here, off the event loop, for the one thread that computes."""

from service.batching.batcher import Batcher, Pins

__all__ = ["Batcher", "Pins"]
