"""Boards at the other end of an ssh line: install there, run there, bring the results back."""
