"""Command line of `edgeseg qat`."""
