"""One network trained: the loop, its directory of checkpoints, several processes that share the work."""
