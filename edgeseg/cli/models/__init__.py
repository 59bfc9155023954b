"""`edgeseg models`: the architectures, the shipped models and one model's card."""
