"""TensorRT engines: built, cached and described."""
