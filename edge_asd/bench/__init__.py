"""`edge-asd bench`: how fast this board listens, with which runtime and precision, and which of them to use."""
