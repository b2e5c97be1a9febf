"""Reproduction of "mixup: Beyond Empirical Risk Minimization" (Zhang, Cisse, Dauphin, Lopez-Paz; ICLR 2018)."""
