"""usage: python scripts/train_gan.py [-m] [KEY=VALUE ...]

Trains a GAN on points in the plane with ERM or mixup (figure 5), as train.py trains a classifier: the run's directory is a
function of its configuration, and the same command resumes it.

  python scripts/train_gan.py alpha=0                     # ERM on the ring of 8 modes, the paper's recipe
  python scripts/train_gan.py -m data=grid alpha=0,0.2    # a run for each value
  python scripts/train_gan.py width=128 iterations=2000   # under a minute
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from mixup.commands.train_gan import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], usage=__doc__ or ""))
