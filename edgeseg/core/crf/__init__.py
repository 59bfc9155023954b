"""Dense CRF: labels refined with the picture's own edges, on the CPU, without torch."""
