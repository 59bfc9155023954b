"""Text that is shown: secrets are taken out of it."""
