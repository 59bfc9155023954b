"""Checkpoints of the models that ship with edgeseg; edgeseg finds them here by name."""
