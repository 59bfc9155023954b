"""From a checkpoint to a bundle: the graph, its checks, and its golden pair."""
