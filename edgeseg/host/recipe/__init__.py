"""Recipes: the steps of a TOML file as jobs, planned, checked and carried out."""
