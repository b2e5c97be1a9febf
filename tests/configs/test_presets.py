"""The presets of `configs/mixup` that name another system: whole epochs of ours against that system's own mixup.

timm and torchvision run themselves. The others are stated by hand, an example at a time, and the statement is held against
the system's own code where that is installed; Composer cannot be beside this torch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mixup.data import ResidentFeatures, Split, dataset_info
from mixup.mixing import mix_all
from mixup.plan import draw_plan
from mixup.run.compose import configuration
from mixup.run.config import TrainConfig
from mixup.training.distributed import Group
from mixup.training.setup import plan_settings, step_settings
from mixup.training.step import draw_epoch, fetch
from tests.test_mixing import MixedBatch, dense

CPU = torch.device("cpu")
FACTS = dataset_info("digits")
CLASSES = FACTS.num_classes


@dataclass(frozen=True)
class Batch:
    """What every system is given of one batch, chance included, of which it takes what it would draw itself.

    inputs: (B, 1, 8, 8); labels: (B,). permutation: (B,) int64. alpha: of the Beta distribution that these were drawn from:
    lam, once; lams: (B,), once an example.
    """

    inputs: Tensor
    labels: Tensor
    permutation: Tensor
    alpha: float
    lam: float
    lams: Tensor


Mixed = tuple[Tensor, Tensor]  # inputs (B, 1, 8, 8) and dense targets (B, C)
System = Callable[[Batch], Mixed]


# -- systems that run themselves -----------------------------------------------------------------------------------------


def timm(batch: Batch, mode: str = "batch") -> Mixed:
    """Its smoothing is left at its own default."""
    from timm.data.mixup import Mixup

    def beta(a: float, b: float, size: int | None = None) -> float | np.ndarray:
        assert a == b == batch.alpha
        return batch.lam if size is None else batch.lams.numpy()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np.random, "beta", beta)
        return Mixup(mixup_alpha=batch.alpha, num_classes=CLASSES, mode=mode)(batch.inputs.clone(), batch.labels)


def torchvision(batch: Batch) -> Mixed:
    from torchvision.transforms import v2

    def sample(beta: torch.distributions.Beta, shape: tuple[int, ...]) -> Tensor:
        assert shape == ()
        assert beta.concentration0.item() == beta.concentration1.item() == pytest.approx(batch.alpha)
        return torch.tensor([batch.lam])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.distributions.Beta, "sample", sample)
        return v2.MixUp(alpha=batch.alpha, num_classes=CLASSES)(batch.inputs, batch.labels)


# -- systems by hand -----------------------------------------------------------------------------------------------------


def by_hand(batch: Batch, partner: Callable[[int], int], weight: Callable[[int], float]) -> Mixed:
    """Example i weighs weight(i) and partner(i) the rest, in double precision."""
    inputs, targets = torch.zeros(batch.inputs.shape).double(), torch.zeros(len(batch.labels), CLASSES).double()
    for i in range(len(batch.labels)):
        for example, share in ((i, weight(i)), (partner(i), 1 - weight(i))):
            inputs[i] += share * batch.inputs[example].double()
            targets[i, batch.labels[example]] += share
    return inputs.float(), targets.float()


def fastai(batch: Batch) -> Mixed:
    lams = batch.lams.tolist()
    return by_hand(batch, lambda i: int(batch.permutation[i]), lambda i: max(lams[i], 1 - lams[i]))


def composer(batch: Batch) -> Mixed:
    of_partner = min(batch.lam, 1 - batch.lam)
    return by_hand(batch, lambda i: int(batch.permutation[i]), lambda i: 1 - of_partner)


def keras(batch: Batch) -> Mixed:
    lams = batch.lams.tolist()
    return by_hand(batch, lambda i: int(batch.permutation[i]), lambda i: lams[i])


def big_vision(batch: Batch) -> Mixed:
    return by_hand(batch, lambda i: i - 1 if i else len(batch.labels) - 1, lambda i: max(batch.lam, 1 - batch.lam))


def openmixup(batch: Batch) -> Mixed:
    return by_hand(batch, lambda i: int(batch.permutation[i]), lambda i: batch.lam)


# What the command line says after `mixup=`, and the system that this makes of ours.
SYSTEMS: dict[str, System] = {
    "timm": timm,
    "timm mixup.lam_per=example": lambda batch: timm(batch, "elem"),
    "torchvision": torchvision,
    "fastai": fastai,
    "composer": composer,
    "keras": keras,
    "big_vision": big_vision,
    "openmixup": openmixup,
}


@functools.cache
def configured(*overrides: str) -> TrainConfig:
    """As `train.py OVERRIDES` has it; composed once. One may be two: `mixup=timm mixup.fold=true`."""
    return configuration(" ".join(overrides).split())


def epoch(preset: str, *overrides: str, size: int, seed: int = 0) -> Iterator[tuple[Batch, MixedBatch]]:
    """Each batch of an epoch, the last of two examples, as every system is given it and as ours mixes it by the preset."""

    settings = f"seed={seed}", f"trainer.batch_size={size}", "mixup.alpha=0.4"
    n, config = 6 * size + 2, configured(f"mixup={preset}", *settings, *overrides)
    plan = draw_plan(plan_settings(config, FACTS, np.zeros(n, int)), 0)
    step = step_settings(config, FACTS, nn.Identity(), CPU, Group())
    chance = [configured("mixup=mixup", f"mixup.lam_per={lam_per}", *settings) for lam_per in ("batch", "example")]
    once, each = (draw_plan(plan_settings(config, FACTS, np.zeros(n, int)), 0) for config in chance)
    rng = torch.Generator().manual_seed(seed)
    inputs, labels = torch.rand(n, *FACTS.input_shape, generator=rng), torch.randint(CLASSES, (n,), generator=rng)
    data = ResidentFeatures(Split(inputs, labels, torch.zeros(n, dtype=torch.bool)), device=CPU)
    tables = draw_epoch(plan, data, [0.0] * plan.num_steps, step)
    for rows in (plan.positions(number) for number in range(plan.num_steps)):
        given = Batch(
            inputs=inputs[plan.order[rows]],
            labels=labels[plan.order[rows]],
            permutation=once.partner[rows, 0] - rows.start,
            alpha=config.mixup.alpha,
            lam=once.lam[rows.start, 0].item(),
            lams=each.lam[rows, 0],
        )
        mixed = mix_all(fetch(data, tables, torch.arange(rows.start, rows.stop)), tables.lam[rows])
        yield given, MixedBatch(mixed, tables.targets[rows], tables.weights[rows], step.label_smoothing)


def agree(ours: MixedBatch, theirs: Mixed) -> bool:
    pairs = (ours.inputs, theirs[0]), (dense(ours, CLASSES).float(), theirs[1])
    return all(torch.allclose(mine, other, rtol=0, atol=1e-6) for mine, other in pairs)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("size", [2, 8, 64])
@pytest.mark.parametrize("preset", SYSTEMS)
def test_a_preset_mixes_inputs_and_targets_as_its_system_does(preset, size, seed):
    for batch, ours in epoch(preset, size=size, seed=seed):
        theirs = SYSTEMS[preset](batch)
        assert agree(ours, theirs)
        logits = torch.randn(len(batch.labels), CLASSES)
        assert torch.allclose(ours.cross_entropy(logits).mean(), F.cross_entropy(logits, theirs[1]), atol=1e-5)


@pytest.mark.parametrize("preset", [preset for preset in SYSTEMS if "timm" not in preset])
def test_batches_of_an_odd_size_are_mixed_as_the_systems_mix_them(preset):
    assert all(agree(ours, SYSTEMS[preset](batch)) for batch, ours in epoch(preset, size=7))


def test_timm_refuses_an_odd_batch_whose_middle_example_here_meets_itself():
    batch, ours = next(epoch("timm", size=7))
    with pytest.raises(AssertionError, match="even"):
        timm(batch)
    assert torch.allclose(ours.inputs[3], batch.inputs[3])
    assert ours.targets[3, 0] == ours.targets[3, 1]


@pytest.mark.parametrize("preset", SYSTEMS)
def test_a_preset_is_that_of_no_other_system(preset):
    batches = list(epoch(preset, size=8))
    for name, system in SYSTEMS.items():
        assert all(agree(ours, system(batch)) for batch, ours in batches) == (name == preset), name


@pytest.mark.parametrize("preset", SYSTEMS)
def test_without_any_one_of_its_settings_a_preset_is_not_its_system(preset):
    plain, changed = (vars(configured(name).mixup) for name in ("mixup=mixup", f"mixup={preset}"))
    settings = [key for key in plain if changed[key] != plain[key]]
    assert settings or preset == "openmixup"
    for key in settings:
        batches = epoch(preset, f"mixup.{key}={plain[key]}", size=8)
        assert not all(agree(ours, SYSTEMS[preset](batch)) for batch, ours in batches), key


@pytest.mark.parametrize("preset", SYSTEMS)
@pytest.mark.parametrize("data", ["digits", "imagenet"])
def test_a_preset_leaves_alpha_to_the_recipe(preset, data):
    alphas = {configured(f"data={data}", f"mixup={name}").mixup.alpha for name in ("mixup", preset)}
    assert len(alphas) == 1


# -- what is stated by hand, against the systems themselves --------------------------------------------------------------


def test_keras_is_stated_as_it_is(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    layers = pytest.importorskip("keras", reason="needs Keras 3.8 or later").layers
    for batch, _ in epoch("keras", size=8):
        layer = layers.MixUp(alpha=batch.alpha)
        monkeypatch.setattr(layer.backend.random, "shuffle", lambda order, seed, to=batch.permutation: order[to])
        monkeypatch.setattr(layer.backend.random, "beta", lambda shape, *alphas, seed, lams=batch.lams: lams.view(shape))
        mixed = layer({"images": batch.inputs, "labels": F.one_hot(batch.labels, CLASSES).float()}, training=True)
        for theirs, stated in zip((mixed["images"], mixed["labels"]), keras(batch), strict=True):
            assert torch.allclose(theirs, stated, rtol=0, atol=1e-6)


def test_fastai_is_stated_as_it_is(monkeypatch):
    callback = pytest.importorskip("fastai.callback.mixup", reason="needs fastai")
    for batch, _ in epoch("fastai", size=8):
        mixup = callback.MixUp(batch.alpha)
        targets = F.one_hot(batch.labels, CLASSES).float()
        mixup.learn = SimpleNamespace(x=batch.inputs, y=targets, xb=(batch.inputs,), yb=(targets,), loss_func=None)
        mixup.before_train()
        monkeypatch.setattr(mixup.distrib, "sample", lambda shape, lams=batch.lams: lams.view(shape))
        monkeypatch.setattr(torch, "randperm", lambda n, permutation=batch.permutation: permutation)
        mixup.before_batch()
        monkeypatch.undo()
        for theirs, stated in zip((*mixup.learn.xb, *mixup.learn.yb), fastai(batch), strict=True):
            assert torch.allclose(theirs, stated, rtol=0, atol=1e-6)
