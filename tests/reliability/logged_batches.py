"""`train.py` on ranks that write down what the network is given: `logged_batches.py FOLDER STEPS ARGUMENTS...`.

A line an example: epoch, position in it, example, and a hash of the mixed input with its targets and weights. The run gets
SIGTERM after so many steps; 0 lets it end.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from pathlib import Path

from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from mixup.training import capture, signals
from mixup.training import train as run
from mixup.training.engine import Progress
from mixup.training.step import Batch, Epoch, StepSettings, train_step


def digest(*tensors: Tensor) -> str:
    return hashlib.sha256(b"".join(tensor.contiguous().numpy().tobytes() for tensor in tensors)).hexdigest()


def main(folder: Path, steps: int) -> int:
    log, now = open(folder / f"{os.getpid()}", "w"), 0  # noqa: SIM115 (open until the process ends)
    seed_draws, stop_if_signalled = run.seed_draws, run.stop_if_signalled

    def noted(settings: StepSettings, progress: Progress) -> None:
        nonlocal now
        now = progress.epoch
        seed_draws(settings, progress)

    def logged(model: nn.Module, *rest: object, epoch: Epoch, batch: Batch, **settings: object) -> None:
        positions = batch.positions(epoch.plan.batch_size)
        assert isinstance(positions, slice)

        def write(module: nn.Module, given: tuple[Tensor]) -> None:
            for position, row in zip(range(positions.start, positions.stop), given[0]):
                example, mixture = epoch.plan.order[position], (epoch.targets[position], epoch.weights[position])
                print(now, position, int(example), digest(row, *mixture), file=log, flush=True)

        hook = model.register_forward_pre_hook(write)
        train_step(model, *rest, epoch=epoch, batch=batch, **settings)
        hook.remove()

    def stopped(asked: signals.Signals, assembled: object, progress: Progress) -> None:
        if progress.steps_done == steps:
            os.kill(os.getpid(), signal.SIGTERM)
        stop_if_signalled(asked, assembled, progress)

    run.seed_draws, run.stop_if_signalled, capture.train_step = noted, stopped, logged
    signals.SECONDS_BETWEEN_AGREEMENTS = 0.0
    from train import main as train

    return train()


if __name__ == "__main__":
    _, folder, steps, *arguments = sys.argv
    sys.argv = ["train.py", *arguments]
    sys.exit(main(Path(folder), int(steps)))
