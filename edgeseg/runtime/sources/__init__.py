"""One module per kind of source, imported when a URI asks for it."""
