"""Boards edge-asd is made ready for: a data file each, and archives that install there without a network."""
