"""What a network can be trained for, each kind a module of its own; `registry` knows them by name."""
