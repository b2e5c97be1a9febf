"""Where each dataset comes from: one file for each source; `storage` and `folders` are what they share."""
