"""Faults injected for real into a running edge-asd, and what became of them: `make chaos`."""
