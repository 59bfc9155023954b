"""Graph rewrites that make a bundle faster on CPU runtimes."""
