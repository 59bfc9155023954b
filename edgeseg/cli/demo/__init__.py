"""Command line of `edgeseg demo`, its stages and its page."""
