"""Labels of pictures from Python: a model is loaded by name and called with a picture."""
