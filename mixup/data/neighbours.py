"""The nearest training images of each image, by the Euclidean distance of their pixels (section 3.8, "KNN").

The paper mixes with one of the 200 nearest neighbours of an example and does not say by which distance: that of the raw
pixels, before augmentation, here. Computed exactly, once for each dataset, subset and labels.
"""

import hashlib

import numpy as np
import torch
from torch import Tensor

from mixup.data.dataset import Split
from mixup.data.sources.storage import cached_arrays, data_root
from mixup.errors import UserError
from mixup.run.display import progress

ROWS_AT_ONCE = 1000


def nearest(split: Split, count: int, *, within_class: bool, root: str | None, device: torch.device) -> np.ndarray:
    """The `count` nearest others of each example, (N, count) int32, nearest first; the lower index first of equals.

    within_class: only others of the same class (as trained on). -1 where an example has fewer. Cached below the data root.
    Raises UserError for data other than images in memory, and for too few examples.
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

    def compute_all() -> dict[str, np.ndarray]:
        return {"nearest": compute(pixels.flatten(1).to(device), classes.to(device), count).numpy()}

    return cached_arrays(data_root(root), f"neighbours-{count}", digests, compute_all)["nearest"]


def compute(pixels: Tensor, classes: Tensor, count: int) -> Tensor:
    """(N, D) uint8 and (N,) int64 -> (N, count) int32. In float64, which holds all these whole numbers exactly."""
    values, n = pixels.double(), len(pixels)
    squares = values.square().sum(1)
    index = torch.arange(n, device=pixels.device, dtype=torch.float64)
    starts = range(0, n, ROWS_AT_ONCE)
    chunks = []
    for start in progress(starts, f"the {count} nearest of {n:,} images, once", len(starts)):
        rows = slice(start, start + ROWS_AT_ONCE)
        distance = squares[rows, None] + squares - 2 * values[rows] @ values.T
        key = distance * n + index  # one order, also of equal distances: below 2**53 for a million images of 96x96
        key[classes[rows, None] != classes] = torch.inf
        key[torch.arange(len(key)), torch.arange(start, start + len(key))] = torch.inf
        keys, indices = key.topk(count, largest=False)
        chunks.append(torch.where(keys.isinf(), -1, indices).int().cpu())
    return torch.cat(chunks)
