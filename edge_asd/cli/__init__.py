"""The command line: the only place where flags and the config become constructor arguments."""

__all__ = ["main"]
INTERRUPTED = 130
"""128 + SIGINT, as a shell reports it."""


def main(argv: list[str] | None = None) -> int:
    """Run one command line (default: the process's own); give the exit code. Never ends with a traceback.

    All it needs is imported in here, so that Ctrl-C while Python still imports is as quiet as later on.
    """
    try:
        from edge_asd.cli import frame

        return frame.main(argv)
    except KeyboardInterrupt:
        return INTERRUPTED
