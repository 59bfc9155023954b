"""Imported ONNX graphs as torch networks, for the planner of INT8."""
