"""edge-asd as a systemd service: what it tells the manager and the user, and how it is installed."""
