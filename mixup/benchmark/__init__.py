"""How fast the training step and its parts are, as ratios inside one run: scripts/benchmark.py measures it."""
