"""Evaluates a finished run again from its own configuration and weights.

python eval.py run=runs/digits-lenet/alpha=1.0,seed=0-ce03fdc7
python eval.py run=DIR root=DATA_ROOT device=cpu
"""

import sys

from mixup import command_line

if __name__ == "__main__":
    sys.exit(command_line.evaluate(sys.argv[1:], usage=__doc__ or ""))
