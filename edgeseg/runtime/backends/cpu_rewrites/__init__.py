"""cpu_rewrites."""
