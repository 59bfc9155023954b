"""The folder layouts that are read, one module each; edgeseg/core/data/open.py lists them."""
