"""Command line of `edgeseg recipe`."""
