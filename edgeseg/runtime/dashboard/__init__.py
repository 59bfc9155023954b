"""The live page of a run, and the small HTTP server below it."""
