"""Quantization: calibration, refinement after training, and training with INT8 rounding."""
