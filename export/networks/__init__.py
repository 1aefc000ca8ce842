"""The networks recipes can name, each kind a module of its own; `registry` knows them by name."""
