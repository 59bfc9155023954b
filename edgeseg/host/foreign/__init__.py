"""Networks of other packages: built by name, traced, with layers that edgeseg knows."""
