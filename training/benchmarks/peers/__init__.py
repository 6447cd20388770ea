"""Other ways to do the same, each a program of its own that needs nothing else of this project."""
