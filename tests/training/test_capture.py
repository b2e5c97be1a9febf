"""A captured step's bookkeeping, on any machine: a function that is called again stands in for the recorded graph."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mixup.errors import UserError
from mixup.run.compose import configuration
from mixup.training.capture import WARM_UP, CapturedStep, step_function
from mixup.training.distributed import Group
from mixup.training.engine import finish_epoch, start_epoch
from mixup.training.step import draw_epoch
from mixup.training.train import train_epoch
from tests.training.test_step import CPU, images, network, plan, settings

EPOCHS = 3


def trained(captured: CapturedStep | None, optimizer_of=None) -> tuple[dict[str, torch.Tensor], list[object]]:
    """Weights and means of three epochs of 8 batches of 16 and one of 5; a learning rate for each step."""
    data, model, means = images(133), network(), []
    optimizer = optimizer_of(model) if optimizer_of else torch.optim.SGD(model.parameters(), lr=9.0, momentum=0.9)
    options = {"train_step": captured} if captured else {}
    for number in range(EPOCHS):
        drawn, progress = plan(133, epoch=number), start_epoch(number, 133, 16, CPU)
        epoch = draw_epoch(drawn, data, [0.1 / (1 + number + step) for step in range(9)], settings())
        train_epoch(model, optimizer, data, epoch, progress, settings=settings(), after_step=lambda _: None, **options)
        means.append((finish_epoch(progress, epoch, settings()), progress.step_losses().tolist()))
    return model.state_dict(), means


@pytest.mark.parametrize("adam", [False, True])
def test_a_replayed_step_reads_each_epochs_tables_and_writes_each_epochs_state(adam):
    recorded = []

    def record(step):
        recorded.append(step)
        return step

    build = (lambda model: torch.optim.Adam(model.parameters(), fused=True)) if adam else None
    weights, means = trained(CapturedStep(record), build)
    expected_weights, expected_means = trained(None, build)
    assert means == expected_means
    for name, tensor in weights.items():
        assert torch.equal(tensor, expected_weights[name]), name
    assert len(recorded) == 1, "one recording serves all epochs"


def test_only_full_batches_after_the_warm_up_are_replayed():
    replays, steps = [], []

    def record(step):
        return lambda: (replays.append(len(steps)), step())

    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))

        def forward(self, inputs):
            steps.append(len(inputs))
            return self.layer(inputs)

    data, model, captured = images(70), Counting(), CapturedStep(record)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for number in range(2):
        epoch = draw_epoch(plan(70, epoch=number), data, [0.1] * 5, settings())
        progress = start_epoch(number, 70, 16, CPU)
        options = {"settings": settings(), "after_step": lambda _: None, "train_step": captured}
        train_epoch(model, optimizer, data, epoch, progress, **options)
    assert steps == [16, 16, 16, 16, 6] * 2
    assert replays == [WARM_UP, 5, 6, 7, 8]


def test_what_forbids_a_graph_is_named():
    """On a CPU `auto` needs no word, and `true` is refused; on a GPU `auto` says what keeps it from capturing."""
    from mixup.training.step import train_step

    gpu, data = torch.device("cuda"), images(8)

    def chosen(*overrides: str, device=gpu, group=Group()):  # noqa: B008
        return step_function(configuration(["data=digits", *overrides]), data, group, device)

    assert chosen(device=CPU) == (train_step, None)
    assert chosen("trainer.capture=false") == (train_step, None)
    assert isinstance(chosen()[0], CapturedStep)
    assert isinstance(chosen("trainer.capture=true")[0], CapturedStep)
    assert chosen("mixup.noise=0.1") == (train_step, "mixup.noise")
    assert chosen(group=Group(0, 0, 2)) == (train_step, "several processes")
    with pytest.raises(UserError, match=r"trainer\.capture=true: .*trainer\.device=cpu; use trainer\.capture=auto"):
        chosen("trainer.capture=true", device=CPU)
    with pytest.raises(UserError, match=r"trainer\.capture=maybe is out of range: use auto, true or false"):
        chosen("trainer.capture=maybe")
