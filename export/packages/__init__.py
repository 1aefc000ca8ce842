"""Model packages: made from trained weights, written, and turned back into the torch network."""
