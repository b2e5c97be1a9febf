"""What a run is before and after it trains: configuration, identity, records. Imports no torch."""
