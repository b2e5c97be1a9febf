"""Many runs at once: a sweep has slots, each a process that trains one cell after the other. Imports no torch itself."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path

from mixup.commands.overview import Overview
from mixup.commands.slots import Slot, Train, start
from mixup.commands.train import NEED_NO_FILE, in_group, perform
from mixup.errors import UserError
from mixup.run import records
from mixup.run.compose import Task
from mixup.run.processes import STOPPING, cores, handling

# Networks that gain little from a second thread, so that two runs at once, with a thread each, end sooner.
SMALL = ("lenet", "mlp", "gan")
SECONDS_BETWEEN_LOOKS = 0.5

Statuses = dict[Path, int]
"""The exit status of each run, by its folder; negative where a signal has ended its process."""


def perform_all(tasks: Sequence[Task], train: Train) -> list[int]:
    """Trains every run, as many at once as there are slots, here or in the jobs of a cluster; returns their exit statuses. A
    run that fails ends alone."""
    in_jobs, slots = is_for_cluster(tasks), slots_of(tasks, len(gpus()))
    if slots == 1 and not in_jobs:
        return [perform(task, train) for task in tasks]
    runs = {task.folder: task for task in tasks}.values()  # two of one folder would wait for its lock
    finished = [task for task in runs if records.read_record(task.folder) is not None]
    statuses = [perform(task, train) for task in finished]
    waiting = [task for task in runs if task not in finished]
    if in_jobs:
        from mixup.commands.clusters import perform_in_jobs

        ended = perform_in_jobs(waiting, train)
    else:
        ended = side_by_side(waiting, train, slots)
    return statuses + [status if status >= 0 else 128 - status for status in ended.values()]


def is_for_cluster(tasks: Sequence[Task]) -> bool:
    """Whether the runs are for the jobs of a cluster. UserError under torchrun."""
    config = tasks[0].config if tasks else None
    if config is None or config.dry_run or config.sweep.on == "local":
        return False
    if in_group():
        raise UserError(
            f"sweep.on={config.sweep.on} and torchrun do not go together: a job has one process for each run; start with "
            "python, or for one run on many devices with sweep.on=local"
        )
    return True


def side_by_side(tasks: Sequence[Task], train: Train, slots: int) -> Statuses:
    """Trains the runs in processes of their own, so many at once."""
    own_device = any(task.config.trainer.device not in ("auto", "cuda") for task in tasks)  # cpu, or cuda:1 of all GPUs
    return Sweep(list(tasks), train, slots, [] if own_device else gpus()).run()


def slots_of(tasks: Sequence[Task], gpus: int) -> int:
    """How many runs train at once: `sweep.slots`; for `auto` one for each GPU, or one for each core where every network is
    small, that is of `scale=cpu`, or one of `SMALL`. One under torchrun, on a GPU that is named, and where nothing is
    trained."""
    config = tasks[0].config if tasks else None
    if config is None or config.dry_run or in_group():
        return 1
    slots = config.sweep.slots
    if slots == "auto":
        on_cpu = config.trainer.device == "cpu" or not gpus
        all_small = all(task.config.scale == "cpu" or task.config.model.name in SMALL for task in tasks)
        on_gpus = 1 if ":" in config.trainer.device else gpus
        slots = (cores() if all_small else 1) if on_cpu else on_gpus
    return min(slots, len(tasks))


def gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them, without asking torch."""
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name for name in visible.split(",") if name and not name.startswith("-")]  # -1 stands for none
    return [str(number) for number, _ in enumerate(Path("/proc/driver/nvidia/gpus").glob("*"))]


class Interrupted(Exception):
    """The sweep received a signal of `STOPPING`, but for Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.signal = number


@dataclass
class Sweep:
    """Runs that are still to be trained, in slots."""

    waiting: list[Task]
    train: Train
    count: int
    devices: list[str]
    slots: list[Slot] = field(default_factory=list)
    statuses: Statuses = field(default_factory=dict)
    ending: signal.Signals = signal.SIGTERM  # what asks the runs to stop

    def run(self) -> Statuses:
        display = Overview(self.waiting)
        with display, stopping_signals():
            try:
                self.fill(display)
                import mixup.pages.sweep_table  # noqa: F401 (what the table needs is imported while the first runs train)

                while self.waiting or any(slot.task for slot in self.slots):
                    self.fill(display)
                    busy = [slot for slot in self.slots if slot.task]
                    ready = wait([part for slot in busy for part in slot.signs], SECONDS_BETWEEN_LOOKS)
                    for slot in busy:
                        if any(part in ready for part in slot.signs):
                            self.close(slot, display)
                    display.look([slot.task for slot in self.slots if slot.task])
            except Interrupted as stop:
                # SLURM sends its signal to the runs too, and the second of a kind would end them without a checkpoint
                self.ending = signal.SIGUSR1 if stop.signal == signal.SIGTERM else signal.SIGTERM
                print(f"stopped by {stop}; the same command resumes from the last checkpoints", file=sys.stderr)
                raise SystemExit(128 + stop.signal) from None
            finally:
                self.end()
        return self.statuses

    def fill(self, display: Overview) -> None:
        """Gives each idle slot a run. The first of a data set that is read from files starts alone, and prepares it for all;
        the others wait until it trains."""
        while self.waiting and (task := self.next_task()):
            slot = next((slot for slot in self.slots if slot.task is None), None)
            if slot is None and len(self.slots) < self.count:
                taken = [slot.device for slot in self.slots]
                slot = start(self.train, min(self.devices, key=taken.count, default=None), self.count)
                self.slots.append(slot)
            if slot is None:
                return
            self.waiting.remove(task)
            slot.task = task
            display.start(task)
            slot.connection.send(task)

    def next_task(self) -> Task | None:
        loading = {slot.task.config.data.name for slot in self.slots if slot.task and not has_started(slot.task)}
        loading -= set(NEED_NO_FILE)
        return next((task for task in self.waiting if task.config.data.name not in loading), None)

    def close(self, slot: Slot, display: Overview) -> None:
        """Takes the status of a run that has ended, with its process or without."""
        assert slot.task is not None
        try:
            status = slot.connection.recv()
        except EOFError:  # its process has ended: killed, or by an error that nobody expected
            slot.process.join()
            self.slots.remove(slot)
            status = slot.process.exitcode or 1
        self.statuses[slot.task.folder] = status
        display.end(slot.task, status)
        slot.task = None

    def end(self) -> None:
        """Asks every process to end, which saves a checkpoint first, and waits; a second Ctrl-C ends them at once."""
        for slot in self.slots:
            if not slot.task:
                slot.connection.close()
            elif slot.process.is_alive():
                os.kill(slot.process.pid, self.ending)
        try:
            for slot in self.slots:
                slot.process.join()
        except KeyboardInterrupt:
            for slot in self.slots:
                slot.process.kill()
            raise


def has_started(task: Task) -> bool:
    """Whether a run has its data, and trains."""
    return (task.folder / "metrics.jsonl").exists()


@contextlib.contextmanager
def stopping_signals() -> Iterator[None]:
    """Inside, every signal of `STOPPING` but Ctrl-C, which Python raises by itself, raises Interrupted once."""

    def stop(number: int, frame: object) -> None:
        for one in others:  # a second one ends this process at once, and so each that trains
            if signal.getsignal(one) is stop:
                signal.signal(one, signal.SIG_DFL)
        raise Interrupted(number)

    others = [number for number in STOPPING if number != signal.SIGINT]
    with handling(others, stop):
        yield
