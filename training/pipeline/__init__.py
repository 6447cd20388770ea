"""The stages of the data pipeline: each reads finished folders and writes one."""
