"""Jobs of SLURM, by submitit, which keeps what they are and what they print in `.slurm` of the runs' folder.

Before SLURM ends a job, for another one or because its time is up, it sends SIGUSR2, or SIGUSR1 where a user does. Then each
run saves a checkpoint, and the job goes back to the queue.
"""

import contextlib
import io
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mixup.commands.clusters import Job
from mixup.commands.sweep import Statuses
from mixup.errors import UserError, check
from mixup.run.config import TrainConfig
from mixup.run.places import PACKAGE

REQUEUEING = (signal.SIGUSR1, signal.SIGUSR2)
MINUTES = 240  # of a job where `sweep.job.time` says nothing
MOST_TIMEOUTS = 1000  # after which a job is not queued again
USUAL = ("None", "Priority", "Resources", "JobArrayTaskLimit", "BeginTime")  # reasons to wait for a while
SECONDS_BETWEEN_QUESTIONS = 10.0  # to SLURM, which serves others too
SECONDS_OF_FILES = 30.0  # in which a shared file system shows what another machine has written


@dataclass(frozen=True)
class Requeued:
    """A job that goes back to the queue after one of the signals `REQUEUEING`."""

    job: Job

    def __call__(self) -> Statuses:
        requeue = next(handler for number in REQUEUEING if callable(handler := signal.getsignal(number)))  # submitit's
        for number in REQUEUEING:
            signal.signal(number, requeue)
        try:
            return self.job()
        except SystemExit as stop:  # all runs have saved
            for number in REQUEUEING:
                if stop.code == 128 + number:
                    requeue(number, None)  # ends this process
            raise

    def checkpoint(self) -> Any:
        """What submitit starts again."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


@dataclass
class Slurm:
    """SLURM as this machine reaches it. UserError where it does not, or for `sweep.job` that submitit does not know."""

    config: TrainConfig
    queue: tuple[float, set[str] | None] = (-SECONDS_BETWEEN_QUESTIONS, None)  # when it was asked, and what is in it
    reasons: set[str] = field(default_factory=lambda: set(USUAL))  # for which jobs wait, but those that were shown
    missed: dict[str, float] = field(default_factory=dict)  # since when a job is neither there nor has a result

    def __post_init__(self) -> None:
        try:
            import submitit
        except ImportError as error:
            raise UserError("sweep.on=slurm needs submitit, which is not installed: pip install submitit") from error
        for program in ("sbatch", "srun", "squeue"):
            if shutil.which(program) is None:
                raise UserError(
                    f"sweep.on=slurm: {program} is not in PATH; start where jobs are submitted, a login node, or with "
                    "sweep.on=local"
                )
        asked: dict[str, Any] = {"name": "mixup", "time": MINUTES, **self.config.sweep.job}
        minutes = asked["time"]
        check("sweep.job.time", minutes, type(minutes) is int and minutes >= 1, "whole minutes, such as 240")
        for name in ("nodes", "ntasks_per_node"):
            check(f"sweep.job.{name}", asked.get(name, 1), asked.get(name, 1) == 1, "1: a job is one process on one machine")
        asked["job_name"] = asked.pop("name")
        asked["additional_parameters"] = {"requeue": True, **asked.get("additional_parameters", {})}
        asked["setup"] = [f"export PYTHONPATH={shlex.quote(str(PACKAGE.parent))}:$PYTHONPATH", *asked.get("setup", [])]
        self.folder = Path(self.config.runs_dir).expanduser().absolute() / ".slurm"
        self.executor = submitit.SlurmExecutor(self.folder, max_num_timeout=MOST_TIMEOUTS)
        try:
            self.executor.update_parameters(stderr_to_stdout=True, **asked)
        except (ValueError, TypeError) as error:
            raise UserError(
                f"sweep.job: {str(error).splitlines()[0]}; an option that sbatch knows and submitit does not is "
                "sweep.job.additional_parameters.NAME=VALUE"
            ) from error

    def earlier(self) -> list[tuple[Any, Job]]:
        import submitit

        handles = [submitit.SlurmJob(folder=self.folder, job_id=job) for job in sorted(self.queued() or ())]
        there = [handle for handle in handles if handle.paths.submitted_pickle.exists()]
        return [(handle, handle.submission().function.job) for handle in there if not handle.paths.result_pickle.exists()]

    def submit(self, jobs: Sequence[Job]) -> list[Any]:
        try:
            with contextlib.redirect_stderr(io.StringIO()):  # which repeats the error
                handles = self.executor.submit_array([Requeued(job) for job in jobs])
        except RuntimeError as error:
            raise UserError(
                f"SLURM refuses the jobs: {' '.join(str(error).split())}; sweep.job holds what each asks for, and "
                "sweep.runs_per_job=N makes fewer of them"
            ) from error
        print(f"{len(jobs)} jobs of SLURM: {numbers(handles)}; {self.folder} has what they print", flush=True)
        return list(handles)

    def result(self, handle: Any) -> Statuses | str | None:
        job, paths = handle.job_id, handle.paths
        if paths.result_pickle.exists():
            try:
                return handle.result()
            except RuntimeError:  # submitit's, with the whole output
                return f"job {job} ended by an error, see {paths.stdout}"
        queued = self.queued()
        if queued is None or job in queued:
            self.missed.pop(job, None)
        elif time.monotonic() - self.missed.setdefault(job, time.monotonic()) > SECONDS_OF_FILES:
            return f"job {job} was cancelled, killed, or ran out of memory, see {paths.stdout}; the same command resumes"
        return None

    def leave(self, handles: Sequence[Any]) -> str:
        return (
            f"the jobs go on, and the same command watches them again; scancel {numbers(handles)} ends them, with a "
            "checkpoint of each run"
        )

    def queued(self) -> set[str] | None:
        """The jobs of this user that wait or train; None where SLURM does not answer."""
        asked, queued = self.queue
        if time.monotonic() - asked > SECONDS_BETWEEN_QUESTIONS:
            words = ["squeue", "--me", "--noheader", "--array", "--format=%i %r"]
            answer = subprocess.run(words, capture_output=True, text=True, check=False)
            reasons = dict(line.split(maxsplit=1) for line in answer.stdout.splitlines())
            queued = set(reasons) if answer.returncode == 0 else None
            self.queue = time.monotonic(), queued
            for reason in {*reasons.values()} - self.reasons:
                print(f"SLURM lets jobs wait: {reason}", flush=True)
            self.reasons |= {*reasons.values()}
        return queued


def numbers(handles: Sequence[Any]) -> str:
    """Those of the arrays that the jobs are of."""
    return " ".join(dict.fromkeys(handle.job_id.partition("_")[0] for handle in handles))
