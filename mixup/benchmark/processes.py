"""Our loop over a plain one with `DistributedDataParallel`, each by two processes."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial

from torch.nn.parallel import DistributedDataParallel

from mixup.benchmark import rivals
from mixup.benchmark.ratios import ROOT, epoch_turn, rows
from mixup.benchmark.throughput import NETWORKS
from mixup.benchmark.turns import SECONDS_A_TURN, Row, Turn, take_turns
from mixup.run.compose import configuration
from mixup.run.config import TrainConfig
from mixup.run.processes import cores
from mixup.training.device import choose_device, seconds_of
from mixup.training.distributed import Group, broadcast, join_group, leave_group
from mixup.training.dry_run import generated_run

PROCESSES = 2


def processes(names: list[str], overrides: list[str], rounds: int) -> Iterator[Row]:
    """Both loops take turns in the same two processes, which share the cores."""
    threads = max(1, cores() // PROCESSES)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={PROCESSES}"]
    for name in names:
        command = [*torchrun, "-m", "mixup.benchmark.processes", str(rounds), *NETWORKS[name], *overrides]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        done = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True)
        times, pair = json.loads(done.stdout.splitlines()[-1]), ("our loop", "a plain loop with DDP")
        for row in rows(times, "image", pair, subject=f"{name}, {PROCESSES} processes"):
            yield {**row, "threads": threads}


def one_process(rounds: int, overrides: list[str]) -> None:
    """Of those that torchrun started; the leader prints the times."""
    config = configuration(overrides)
    group = join_group(config.trainer.device)
    device = choose_device(config.trainer.device, group)
    step = rivals.floor(config, device, share=group.world_size, wrap=DistributedDataParallel)
    steps = broadcast(group, max(2, round(SECONDS_A_TURN / min(seconds_of(step, device) for _ in range(5)))))

    def plain() -> Turn:
        return lambda: seconds_of(lambda: [step() for _ in range(steps)], device) / (steps * config.trainer.batch_size)

    times = take_turns({"our loop": partial(our_turn, config, group, steps), "a plain loop with DDP": plain}, rounds)
    if group.is_leader:
        print(json.dumps(times))
    leave_group()


def our_turn(config: TrainConfig, group: Group, steps: int) -> Turn:
    return epoch_turn(generated_run(config, steps * config.trainer.batch_size, group), steps)


if __name__ == "__main__":
    one_process(int(sys.argv[1]), sys.argv[2:])
