"""A recipe and a data set: the networks it makes of it, their plan, their training, and bundles of all machines."""
