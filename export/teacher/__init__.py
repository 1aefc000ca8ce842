"""The network whose features the default embedder learns to give, and those features at the embedding's own size."""
