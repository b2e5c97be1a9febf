"""The committed evidence, the paper's numbers, and what the one says of the other."""
