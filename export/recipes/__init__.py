"""The recipes that ship, a YAML file each, and what reads such files."""
