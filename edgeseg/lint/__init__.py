"""What would stop or slow TensorRT, found without it; needs onnx and numpy alone."""
