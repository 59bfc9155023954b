"""The camera loop: its stages, its observers and the session around it."""
