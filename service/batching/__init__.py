"""Continuous batching: requests wait here, off the event loop, for the one thread that computes."""

from service.batching.batcher import Batcher, Pins
from service.batching.embedded import EmbeddedTexts, Reading

__all__ = ["Batcher", "EmbeddedTexts", "Pins", "Reading"]
