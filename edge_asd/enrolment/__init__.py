"""From normal sound to a bundle: what was heard, what of it is kept, whether it is enough."""
