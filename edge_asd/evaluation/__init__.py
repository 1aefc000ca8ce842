"""Measuring a pipeline on recordings with known labels."""
