"""Every figure in RESULTS.md can be made again from here."""
