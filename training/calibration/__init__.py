"""Confidence from scores: counted on validation, fitted on one half of it, judged on the other."""
