"""Trains one network, or with -m a sweep of them, ERM or mixup.

python train.py                                         digits, in seconds, anywhere
python train.py model=wrn28 data=cifar100 mixup.alpha=1.0
python train.py -m experiment=quickstart                a table: every cell of a grid, resumable
torchrun --nproc-per-node=8 train.py data=cifar10 model=preact_resnet18
python train.py --config-dir DIR experiment=mine        with DIR/experiment/mine.yaml, a file of your own
python train.py --help                                  the groups and what they hold
"""

import contextlib
import sys

from mixup.commands.messages import one_message
from mixup.commands.sweep import perform_all
from mixup.commands.train import conclude, process_group, read_tasks
from mixup.errors import OtherDataError
from mixup.run.compose import Task
from mixup.run.records import Record


@one_message(stopped="stopped; the same command resumes from the last checkpoint")
def main() -> int:
    """Returns the exit status: 0 all done, 1 a run failed, 2 a mistake in the request, 3 a run finished on other data."""
    tasks = read_tasks(sys.argv[1:])  # every one is composed and checked before the first one trains
    with process_group():
        statuses = perform_all(tasks, train)
        if OtherDataError.status not in statuses:  # a table would show the numbers of that data
            statuses += conclude(tasks)
        return max(statuses, default=0)


def train(task: Task) -> Record:
    """Trains a classifier, or a GAN of figure 5 where the configuration has that section; imports torch."""
    from mixup.training.device import memory_of_a_run
    from mixup.training.signals import Stopped

    if task.config.gan is not None:
        from mixup.gan.train import train as train_network
    else:
        from mixup.training.train import train as train_network
    try:
        with memory_of_a_run():
            return train_network(task.config, task.folder, task.label)
    except Stopped as stop:
        with contextlib.suppress(OSError):  # after SIGHUP the terminal is gone
            print(stop, file=sys.stderr, flush=True)
        sys.exit(128 + stop.signal)


if __name__ == "__main__":
    sys.exit(main())
