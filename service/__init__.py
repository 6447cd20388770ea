"""The ranking service: HTTP over `uwe_core.ranker`."""
