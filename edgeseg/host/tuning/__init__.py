"""Tuning: a search for what to prune and what to leave in float, to meet a budget."""
