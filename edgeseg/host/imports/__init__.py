"""Networks that others made: an ONNX file, or a module of an installed package."""
