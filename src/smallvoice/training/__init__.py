"""A corpus and a recipe to an adapter."""
