"""Jobs: what the verbs train, prune, balance and compare do, as functions."""
