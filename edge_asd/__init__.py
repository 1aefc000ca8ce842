"""edge-asd hears a machine go wrong: streaming anomalous-sound detection for small boards."""

__version__ = "0.1.0"
