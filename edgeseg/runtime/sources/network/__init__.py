"""Cameras on a network: what their addresses give, and why one cannot be reached."""
