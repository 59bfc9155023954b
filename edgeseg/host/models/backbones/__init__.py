"""Feature extractors; BACKBONES of edgeseg/host/models lists them."""
