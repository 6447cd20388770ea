"""Raw data sources, one file each, read into typed records."""
