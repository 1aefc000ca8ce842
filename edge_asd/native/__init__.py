"""What edge-asd computes in C where a compiler was there when it was installed; numpy does the same without it."""
