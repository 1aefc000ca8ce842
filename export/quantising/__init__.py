"""From float to int8: windows to calibrate with, ways to quantise, and the one chosen that keeps the score."""
