"""Accuracy of a backend on labelled data."""
