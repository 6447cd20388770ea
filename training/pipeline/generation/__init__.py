"""Generated texts: what a language model is asked, what it answers, and what is kept of that."""
