"""Jobs as tasks of Ray: of the cluster that `RAY_ADDRESS` names, or that this machine is in, else of one of its own."""

from collections.abc import Sequence
from typing import Any

from mixup.commands.clusters import Job
from mixup.commands.sweep import Statuses
from mixup.errors import UserError
from mixup.run.config import TrainConfig

SECONDS_TO_SAVE = 60.0  # for the runs of a sweep that is stopped


class OnRay:
    """Ray. UserError where it cannot be reached, or for `sweep.job` that it does not know."""

    def __init__(self, config: TrainConfig) -> None:
        try:
            import ray
        except ImportError as error:
            raise UserError('sweep.on=ray needs ray, which is not installed: pip install "ray>=2.40"') from error
        try:
            ray.init(log_to_driver=False, logging_level="error")
        except (ConnectionError, RuntimeError, ValueError) as error:
            first = str(error).partition("\n")[0]
            raise UserError(f"sweep.on=ray: {first}; RAY_ADDRESS is the cluster's, or unset for a Ray of its own") from error
        on_gpu = config.trainer.device != "cpu" and ray.cluster_resources().get("GPU", 0) > 0
        usual = {"num_gpus": 1} if on_gpu else {"num_cpus": 1}
        try:
            self.call = ray.remote(**{**usual, **config.sweep.job})(call)
        except (TypeError, ValueError) as error:
            raise UserError(f"sweep.job: {str(error).partition(chr(10))[0]}") from error

    def earlier(self) -> list[tuple[Any, Job]]:
        return []  # they end with the sweep

    def submit(self, jobs: Sequence[Job]) -> list[Any]:
        print(f"{len(jobs)} tasks of Ray", flush=True)
        return [self.call.remote(job) for job in jobs]

    def result(self, handle: Any) -> Statuses | str | None:
        import ray

        if not ray.wait([handle], timeout=0)[0]:
            return None
        try:
            return ray.get(handle)
        except ray.exceptions.RayError as error:
            return f"its task of Ray ended by {type(error).__name__}: {' '.join(str(error).split())[:300]}"

    def leave(self, handles: Sequence[Any]) -> str:
        import ray

        for handle in handles:
            ray.cancel(handle)  # as Ctrl-C
        ray.wait(list(handles), num_returns=len(handles), timeout=SECONDS_TO_SAVE)
        return "the same command resumes from the last checkpoints"


def call(job: Job) -> Statuses:
    return job()
