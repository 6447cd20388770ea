"""The offline job: raw data to target spaces, token indexes, trained models and their evaluation."""
