"""Labelled data: the protocol, the formats that are read, views and fingerprints."""
