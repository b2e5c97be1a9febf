"""Trains one network, or with -m a sweep of them, ERM or mixup.

python train.py                                         digits, in seconds, anywhere
python train.py model=wrn28 data=cifar100 mixup.alpha=1.0
python train.py -m experiment=quickstart                a table: every cell of a grid, resumable
torchrun --nproc-per-node=8 train.py data=cifar10 model=preact_resnet18
python train.py --help                                  the groups and what they hold
"""

import sys

from mixup.commands import train as command_line

if __name__ == "__main__":
    sys.exit(command_line.main())
