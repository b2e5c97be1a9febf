"""The nearest training images of each image, by the Euclidean distance of their pixels (section 3.8, "KNN").

The paper mixes with one of the 200 nearest neighbours of an example and does not say by which distance: that of the raw
pixels, before augmentation, here. Computed exactly, once for each data set, subset and labels.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from mixup.data.dataset import Split
from mixup.data.sources.folders import cache_file, read_cache, write_cache
from mixup.errors import UserError

ROWS_AT_ONCE = 1000


def nearest_neighbours(split: Split, count: int, *, within_class: bool, root: Path, device: torch.device) -> np.ndarray:
    """The `count` nearest others of each example, (N, count) int32, nearest first; the lower index first of equals.

    within_class: others of the same class (as trained on) alone. -1 where an example has fewer. Kept in the cache of the
    data root. Raises UserError for data that is no set of images in memory, or too small.
    """
    pixels = split.inputs
    if not isinstance(pixels, Tensor) or pixels.dtype != torch.uint8:
        raise UserError(
            "mixup.partner=nearest: neighbours are found among images in memory; use another data set or data.resident=true"
        )
    if count >= len(split):
        raise UserError(f"mixup.neighbours={count}: there are {len(split) - 1} other training examples; use fewer")
    classes = split.labels if within_class else torch.zeros_like(split.labels)
    digests = [hashlib.sha256(values.contiguous().numpy().data).hexdigest() for values in (pixels, classes)]
    cache = cache_file(root, f"neighbours-{count}", digests)
    cached = read_cache(cache)
    if cached is not None:
        return cached["nearest"]
    nearest = compute(pixels.flatten(1).to(device), classes.to(device), count).numpy()
    if cache.parent.parent.is_dir():  # digits need no data root
        write_cache(cache, {"nearest": nearest})
    return nearest


def compute(pixels: Tensor, classes: Tensor, count: int) -> Tensor:
    """(N, D) uint8 and (N,) int64 -> (N, count) int32. In float64, which holds all these whole numbers exactly."""
    values, n = pixels.double(), len(pixels)
    squares = values.square().sum(1)
    index = torch.arange(n, device=pixels.device, dtype=torch.float64)
    starts = range(0, n, ROWS_AT_ONCE)
    found = []
    for start in track(starts, f"the {count} nearest of {n:,} images, once", transient=True, disable=len(starts) < 10):
        rows = slice(start, start + ROWS_AT_ONCE)
        distance = squares[rows, None] + squares - 2 * values[rows] @ values.T
        key = distance * n + index  # one order, also of equal distances: below 2**53 for a million images of 96x96
        key[classes[rows, None] != classes] = torch.inf
        key[torch.arange(len(key)), torch.arange(start, start + len(key))] = torch.inf
        nearest = key.topk(count, largest=False)
        found.append(torch.where(nearest.values.isinf(), -1, nearest.indices).int().cpu())
    return torch.cat(found)
