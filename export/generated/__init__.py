"""Training sound out of the simulator: machines that never existed, on factory floors, through recorders, cached."""
