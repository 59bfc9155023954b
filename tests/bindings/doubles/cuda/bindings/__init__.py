__version__ = "double"
