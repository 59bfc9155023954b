"""Fake quantization: layers that compute in float and land on the INT8 grid."""
