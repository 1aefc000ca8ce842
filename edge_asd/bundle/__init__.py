"""The `.asd` file of one machine: what is in it, how it is written, checked, signed, and fitted anew."""
