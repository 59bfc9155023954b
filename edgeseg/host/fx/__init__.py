"""Networks as graphs of torch.fx: tracing and batch-norm folding."""
