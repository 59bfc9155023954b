"""Command line of `edgeseg tune`."""
