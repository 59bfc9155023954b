"""Stands for Torch-TensorRT, whose own import wants TensorRT's libraries."""
