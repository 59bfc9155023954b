"""The workstation side: everything that imports torch."""
