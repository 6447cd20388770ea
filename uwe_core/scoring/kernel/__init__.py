"""The scoring loop as machine code: written in LLVM's language and compiled for this processor when it is asked for.

Two functions. `dots` multiplies the tokens of some targets with all query tokens, into a buffer that stays in the
processor's cache; `scores` turns that buffer into the scores of those targets. Each stored token is read from memory
once. Lanes of a vector are query tokens, so targets may be ragged and nothing is summed across a vector.
"""
