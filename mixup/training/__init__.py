"""One network, from configuration to record."""
