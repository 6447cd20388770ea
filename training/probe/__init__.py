"""How much a ranking moves when only gender, age or origin changes in the query."""
