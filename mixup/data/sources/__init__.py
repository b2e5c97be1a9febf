"""Where each data set comes from."""
