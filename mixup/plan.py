"""All randomness of a training epoch, drawn beforehand as data.

An `EpochPlan` is a function of (settings, epoch). It is drawn on the CPU and sliced by step and by rank, so the same seed
gives the same batches on any number of processes and after any restart. Each quantity has a random stream of its own, so
ERM and mixup at one seed share order and crops.

The paper leaves these open, or states them in a footnote of its code (section 2):

* partner: a minibatch is mixed with a uniform random permutation of itself, so an example may be its own partner; the
  ablation (section 3.8) and other systems also use its class alone, near neighbours, or a fixed order;
* lambda: one Beta(alpha, alpha) draw for each minibatch, or one for each example; optionally folded, max(lam, 1 - lam);
* a partner has the crop and flip that it has as an example of its own, since one augmented batch is mixed;
* streamed data is mixed inside each rank's share of the batch, since a rank decodes no images but its own.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


def stream_seed(seed: int, stream: str, *position: int) -> int:
    """A 63-bit seed for the named random stream at a position such as the epoch: a hash, so streams never overlap."""
    key = "/".join(map(str, (seed, stream, *position)))
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") >> 1


def generator(seed: int, stream: str, *position: int) -> np.random.Generator:
    """The named random stream at a position, a function of its arguments alone."""
    return np.random.default_rng(stream_seed(seed, stream, *position))


@dataclass(frozen=True, eq=False)
class PlanSettings:
    """What stays the same over the epochs of a run.

    n: training examples. shuffle: whether each epoch has another order; else it is theirs. alpha: 0 gives lambda = 1, which
    is ERM and changes nothing else. lam_per: `batch` or `example`.
    warmup_epochs: first epochs at alpha = 0. ways: k, examples in a mixture. partner: `random`, `flip`, `roll` or `nearest`.
    classes: (n,) int64 by example, if partners must have the example's own class, else None. neighbours: (n, K) int, the
    nearest examples of each, padded with -1; for `nearest`. crop_padding: pixels. shards: parts of a batch that are mixed
    separately: the number of ranks if a rank holds no examples but its own.
    """

    seed: int
    n: int
    batch_size: int
    alpha: float
    lam_per: str
    shuffle: bool = True
    warmup_epochs: int = 0
    ways: int = 2
    fold: bool = False
    partner: str = "random"
    classes: np.ndarray | None = None
    neighbours: np.ndarray | None = None
    crop_padding: int = 0
    flip: bool = False
    resized_crop: bool = False
    shards: int = 1


@dataclass(frozen=True)
class EpochPlan:
    """What happens at each of the n positions of an epoch; batch b is positions b * batch_size to (b + 1) * batch_size.

    order: (n,) int64, the training example at each position.
    partner: (n, k - 1) int64, the *positions* whose examples are mixed in, k = 2 in the paper; inside the same batch, except
        near neighbours, whose positions are anywhere in the epoch.
    lam: (n, k - 1) float32 in [0, 1], the weight of the position's own example; 1 - lam is the partner's. For k > 2,
        stick-breaking fractions: the share of what the examples before it left over.
    crop: (n, 2) int64, top and left corner in the padded image, 0 to 2 * padding.
    flip: (n,) bool, mirrored left to right.
    crop_seed: (n,) int64, seeds of random resized crops, which need the image's size; None without such crops.
    """

    order: Tensor
    partner: Tensor
    lam: Tensor
    crop: Tensor
    flip: Tensor
    batch_size: int
    crop_seed: Tensor | None = None

    @property
    def num_steps(self) -> int:
        """Batches in the epoch; the last may be smaller and is kept, as in the authors' code."""
        return num_steps(len(self.order), self.batch_size)

    def positions(self, step: int, *, rank: int = 0, world_size: int = 1) -> slice:
        """The share of `rank` in batch `step`."""
        start = step * self.batch_size
        part = share(self.batch_count(step), rank=rank, world_size=world_size)
        return slice(start + part.start, start + part.stop)

    def batch_count(self, step: int) -> int:
        """Examples in batch `step`, over all ranks together."""
        return min(self.batch_size, len(self.order) - step * self.batch_size)


def num_steps(n: int, batch_size: int) -> int:
    """Batches in an epoch of n examples, the last partial one included."""
    return -(-n // batch_size)


def share(total: int, *, rank: int, world_size: int) -> range:
    """A rank's contiguous part of `total` items. Sizes differ by one at most, every item has one rank, rank 0 has most."""
    smaller, larger_ranks = divmod(total, world_size)
    size = smaller + (1 if rank < larger_ranks else 0)
    first = rank * smaller + min(rank, larger_ranks)
    return range(first, first + size)


def batches(n: int, batch_size: int) -> Iterator[tuple[int, int]]:
    """First position and size of each batch."""
    for first in range(0, n, batch_size):
        yield first, min(batch_size, n - first)


def draw_plan(settings: PlanSettings, epoch: int) -> EpochPlan:
    """The plan of one epoch, on the CPU."""
    n, ways = settings.n, settings.ways

    def stream(name: str) -> np.random.Generator:
        return generator(settings.seed, name, epoch)

    order = stream("order").permutation(n) if settings.shuffle else np.arange(n)
    if settings.partner == "nearest":
        assert settings.neighbours is not None
        partner = draw_neighbour(stream("partner"), order, settings.neighbours, ways)
    else:
        partner = draw_partner(stream("partner"), order, settings)
    alpha = 0.0 if epoch < settings.warmup_epochs else settings.alpha
    lam = draw_lam(stream("lam"), n, settings.batch_size, alpha=alpha, lam_per=settings.lam_per, ways=ways)
    flip = stream("flip").random(n) < 0.5 if settings.flip else np.zeros(n, bool)
    return EpochPlan(
        order=torch.from_numpy(order),
        partner=torch.from_numpy(partner),
        lam=torch.from_numpy(np.maximum(lam, 1 - lam) if settings.fold else lam).float(),
        crop=torch.from_numpy(stream("crop").integers(0, 2 * settings.crop_padding + 1, (n, 2))),
        flip=torch.from_numpy(flip),
        batch_size=settings.batch_size,
        crop_seed=torch.from_numpy(stream("resized_crop").integers(2**63, size=n)) if settings.resized_crop else None,
    )


def draw_partner(rng: np.random.Generator, order: np.ndarray, settings: PlanSettings) -> np.ndarray:
    """Partners inside each batch, or each shard of it. order: (n,) int64. Returns (n, ways - 1) int64 positions.

    Kinds: `random`, a uniform permutation, or one inside each class if there are classes; `flip`, the batch in reverse;
    `roll`, the position before, and the last for the first.
    """
    classes = None if settings.classes is None else settings.classes[order]
    partner = np.empty((len(order), settings.ways - 1), np.int64)
    at_once = len(order) - len(order) % settings.batch_size if is_plain(settings) else 0  # the full batches
    for column in partner.T:
        # One call for all of these draws what a call for each would, and takes a tenth of the time.
        column[:at_once] = rng.permuted(np.arange(at_once).reshape(-1, settings.batch_size), axis=1).ravel()
        for first, size in batches(len(order), settings.batch_size):
            if first < at_once:
                continue
            for rank in range(settings.shards):
                part = share(size, rank=rank, world_size=settings.shards)
                positions = np.arange(first + part.start, first + part.stop)
                column[positions] = permute(rng, positions, settings.partner, classes)
    return partner


def is_plain(settings: PlanSettings) -> bool:
    """Whether partners are a uniform permutation of the whole batch, as in the paper."""
    return settings.partner == "random" and settings.classes is None and settings.shards == 1


def permute(rng: np.random.Generator, positions: np.ndarray, kind: str, classes: np.ndarray | None) -> np.ndarray:
    """The partners of some positions among themselves. positions: (m,) int64; classes: (n,) by position of the epoch."""
    if kind == "flip":
        return positions[::-1]
    if kind == "roll":
        return np.roll(positions, 1)
    if classes is None:
        return rng.permutation(positions)
    partner = positions.copy()
    for label in np.unique(classes[positions]):
        members = np.flatnonzero(classes[positions] == label)
        partner[members] = positions[rng.permutation(members)]
    return partner


def draw_neighbour(rng: np.random.Generator, order: np.ndarray, neighbours: np.ndarray, ways: int) -> np.ndarray:
    """The positions of uniformly drawn near neighbours; an example without neighbours is its own partner.

    order: (n,) int64; neighbours: (n, K) int by example. Returns (n, ways - 1) int64.
    """
    n = len(order)
    position_of = np.empty_like(order)
    position_of[order] = np.arange(n)
    count = (neighbours >= 0).sum(1)[order]
    column = (rng.random((ways - 1, n)) * count).astype(np.int64)  # below count, as random() is below 1
    return np.where(count > 0, position_of[neighbours[order, column]], np.arange(n)).T.copy()


def draw_lam(rng: np.random.Generator, n: int, batch_size: int, *, alpha: float, lam_per: str, ways: int = 2) -> np.ndarray:
    """lambda ~ Beta(alpha, alpha), one for each batch or example; for k > 2, the k - 1 stick-breaking fractions
    Beta(alpha, (k - i) alpha) that give Dirichlet weights (`mixing`). Returns (n, ways - 1) float64."""
    if alpha == 0:
        return np.ones((n, ways - 1))
    count = n if lam_per == "example" else num_steps(n, batch_size)
    lam = np.stack([rng.beta(alpha, later * alpha, count) for later in range(ways - 1, 0, -1)], 1)
    return lam if lam_per == "example" else np.repeat(lam, [size for _, size in batches(n, batch_size)], axis=0)
