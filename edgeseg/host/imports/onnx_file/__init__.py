"""An ONNX file of a segmentation network: read, understood, and wrapped as a bundle's graph."""
