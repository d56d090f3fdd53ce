"""A corpus and a model to hypotheses."""
