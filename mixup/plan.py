"""All the randomness of one training epoch, drawn beforehand as data.

An `EpochPlan` is a function of (seed, epoch) and settings alone. It is drawn on the CPU, moved to the device once an epoch
and sliced by step and by rank. So the same seed gives the same batches on any number of processes and after any restart,
and because each quantity has a random stream of its own, ERM and mixup at one seed share order and crops.

What the paper leaves open, or says in a footnote of its code, is decided here (section 2; PAPER.md 2.1 has the sources):

* partner: one minibatch is mixed with a uniform random permutation of itself, so an example may meet itself; for the
  ablation (section 3.8) and as other systems do also its own class alone, near neighbours, or a fixed order;
* lambda: one Beta(alpha, alpha) draw a minibatch, or one an example; folded to max(lambda, 1 - lambda) where asked;
* the partner appears with the crop and flip it has as an example of its own, since one augmented batch is mixed;
* data that is streamed is mixed inside each process's part of the batch, since no process decodes another's images.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor


def stream_seed(seed: int, stream: str, *position: int) -> int:
    """A 63-bit seed for the named random stream at a position such as the epoch: a hash, so that streams never overlap."""
    key = "/".join(map(str, (seed, stream, *position)))
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") >> 1


def generator(seed: int, stream: str, *position: int) -> np.random.Generator:
    """The named random stream at a position; depends on nothing but its arguments."""
    return np.random.default_rng(stream_seed(seed, stream, *position))


@dataclass(frozen=True)
class EpochPlan:
    """What happens at each of the n positions of an epoch; batch b is positions b * batch_size to (b + 1) * batch_size.

    order: (n,) int64, the training example visited at each position.
    partner: (n, k - 1) int64, the *positions* whose examples are mixed in, k = 2 in the paper; inside the same batch, but
        for near neighbours, which are wherever in the epoch they are visited.
    lam: (n, k - 1) float32 in [0, 1], the weight of the position's own example, and 1 - lam is the partner's; of more than
        two examples, what each takes of that which those before it have left.
    crop: (n, 2) int64, top and left corner in the padded image, 0 to 2 * padding.
    flip: (n,) bool, mirrored left to right.
    crop_seed: (n,) int64, what each random resized crop is drawn from once the image's size is known; None for no such crop.
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
        """The part of batch `step` that belongs to `rank`."""
        start = step * self.batch_size
        mine = share(self.batch_count(step), rank=rank, world_size=world_size)
        return slice(start + mine.start, start + mine.stop)

    def batch_count(self, step: int) -> int:
        """Examples in batch `step`, over all ranks together."""
        return min(self.batch_size, len(self.order) - step * self.batch_size)

    def rows(self, positions: slice | Tensor, step: int) -> slice | Tensor:
        """Positions of the epoch as rows of batch `step`, over all ranks together."""
        first = step * self.batch_size
        if isinstance(positions, slice):
            return slice(positions.start - first, positions.stop - first)
        return positions - first

    def to(self, device: torch.device) -> EpochPlan:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        moved: dict[str, Any] = {
            name: value.to(device) if isinstance(value, Tensor) else value for name, value in values.items()
        }
        return replace(self, **moved)


def num_steps(n: int, batch_size: int) -> int:
    """Batches in an epoch of n examples, the last partial one included."""
    return -(-n // batch_size)


def share(total: int, *, rank: int, world_size: int) -> range:
    """A rank's contiguous part of `total` items. Sizes differ by one at most, every item has one rank, rank 0 has most."""
    each, extra = divmod(total, world_size)
    first = rank * each + min(rank, extra)
    return range(first, first + each + (rank < extra))


def draw_plan(
    seed: int,
    epoch: int,
    n: int,
    *,
    batch_size: int,
    alpha: float,
    lam_per: str,
    ways: int = 2,
    fold: bool = False,
    partner: str = "random",
    classes: np.ndarray | None = None,
    neighbours: np.ndarray | None = None,
    crop_padding: int = 0,
    flip: bool = False,
    resized_crop: bool = False,
    shards: int = 1,
) -> EpochPlan:
    """Draws the plan of one epoch over n examples. alpha 0 gives lambda = 1, which is ERM; nothing else changes.

    partner: `random`, `flip`, `roll` or `nearest`. classes: (n,) int64 by example, where partners are of one's own class.
    neighbours: (n, K) int, examples nearest to each, -1 where it has fewer; of `nearest` alone.
    shards: in how many parts each batch is mixed, each in itself; the number of processes where data is streamed.
    """

    def stream(name: str) -> np.random.Generator:
        return generator(seed, name, epoch)

    order = stream("order").permutation(n)
    if partner == "nearest":
        assert neighbours is not None
        partners = draw_neighbour(stream("partner"), order, neighbours, ways)
    else:
        own = None if classes is None else classes[order]
        partners = draw_partner(stream("partner"), n, batch_size, shards, kind=partner, ways=ways, classes=own)
    lam = draw_lam(stream("lam"), n, batch_size, alpha=alpha, lam_per=lam_per, ways=ways)
    flips = stream("flip").random(n) < 0.5 if flip else np.zeros(n, bool)
    return EpochPlan(
        order=torch.from_numpy(order),
        partner=torch.from_numpy(partners),
        lam=torch.from_numpy(np.maximum(lam, 1 - lam) if fold else lam).float(),
        crop=torch.from_numpy(stream("crop").integers(0, 2 * crop_padding + 1, (n, 2))),
        flip=torch.from_numpy(flips),
        batch_size=batch_size,
        crop_seed=torch.from_numpy(stream("resized_crop").integers(2**63, size=n)) if resized_crop else None,
    )


def draw_partner(
    rng: np.random.Generator,
    n: int,
    batch_size: int,
    shards: int = 1,
    *,
    kind: str = "random",
    ways: int = 2,
    classes: np.ndarray | None = None,
) -> np.ndarray:
    """Partners inside each batch, or inside each rank's share of it. Returns (n, ways - 1) int64 positions.

    kind: `random`, a uniform permutation, or one inside each class where `classes`, (n,) by position, are given; `flip`, the
    batch in reverse; `roll`, the position before, the last one's for the first.
    """

    def partners(part: np.ndarray) -> np.ndarray:
        if kind == "flip":
            return part[::-1]
        if kind == "roll":
            return np.roll(part, 1)
        if classes is None:
            return rng.permutation(part)
        mixed = part.copy()
        for label in np.unique(classes[part]):
            members = np.flatnonzero(classes[part] == label)
            mixed[members] = part[rng.permutation(members)]
        return mixed

    parts = [
        np.arange(first + part.start, first + part.stop)
        for first, size in batches(n, batch_size)
        for part in (share(size, rank=rank, world_size=shards) for rank in range(shards))
    ]
    return np.stack([np.concatenate([partners(part) for part in parts]) for _ in range(ways - 1)], 1)


def draw_neighbour(rng: np.random.Generator, order: np.ndarray, neighbours: np.ndarray, ways: int) -> np.ndarray:
    """For each position one of its example's near neighbours, uniformly, as the position where that one is visited; itself
    where it has none. order: (n,) int64; neighbours: (n, K) int by example. Returns (n, ways - 1) int64."""
    visited = np.empty_like(order)
    visited[order] = np.arange(len(order))
    count = (neighbours >= 0).sum(1)[order]
    column = (rng.random((ways - 1, len(order))) * count).astype(np.int64)  # below count, as random() is below 1
    return np.where(count > 0, visited[neighbours[order, column]], np.arange(len(order))).T.copy()


def draw_lam(rng: np.random.Generator, n: int, batch_size: int, *, alpha: float, lam_per: str, ways: int = 2) -> np.ndarray:
    """lambda ~ Beta(alpha, alpha), one a batch (repeated over it) or one an example; for more than two ways the shares that
    give Dirichlet weights, see `mixing`. Returns (n, ways - 1) float64."""
    if alpha == 0:
        return np.ones((n, ways - 1))
    count = n if lam_per == "example" else num_steps(n, batch_size)
    each = np.stack([rng.beta(alpha, later * alpha, count) for later in range(ways - 1, 0, -1)], 1)
    return each if lam_per == "example" else np.repeat(each, [size for _, size in batches(n, batch_size)], axis=0)


def batches(n: int, batch_size: int) -> Iterator[tuple[int, int]]:
    """First position and size of each batch."""
    for first in range(0, n, batch_size):
        yield first, min(batch_size, n - first)
