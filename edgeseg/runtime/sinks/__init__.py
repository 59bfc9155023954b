"""One module per kind of sink, imported when it is asked for."""
