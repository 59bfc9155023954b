"""The HTTP server below the live page and the picture stream."""
