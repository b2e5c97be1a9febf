"""`test_resume.py` on every rank of a real process group: `resume_on_ranks.py FOLDER`, under torchrun."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from mixup.run.compose import configuration
from mixup.training import signals
from mixup.training import train as run
from mixup.training.distributed import barrier, join_group, leave_group
from tests.reliability.test_resume import COMMON, KINDS, PLACES, Kill, assert_same_run, train

PARTS = ("step 1", "in mid-epoch", "the last step of an epoch", "before the first step", "the evaluation after an epoch")

if __name__ == "__main__":
    torch.set_num_threads(1)
    signals.SECONDS_BETWEEN_AGREEMENTS = 0.0  # these runs last less than half a second
    top, group = Path(sys.argv[1]), join_group("cpu")
    for kind in ("mixup", "erm", "latent", "batchnorm and dropout"):
        config = configuration([*COMMON, *KINDS[kind]])
        train(config, top / kind / "undisturbed")
        for place in PARTS:
            target = top / kind / place
            with pytest.MonkeyPatch.context() as patch:
                PLACES[place](patch)
                with pytest.raises((Kill, run.Stopped)):
                    train(config, target)
            train(config, target)
            if group.is_leader:
                assert_same_run(top / kind / "undisturbed", target)
                print(f"{kind}, {place}: the same", flush=True)
            barrier(group)
    leave_group()
