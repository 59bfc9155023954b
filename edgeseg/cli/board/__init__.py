"""board and on."""
