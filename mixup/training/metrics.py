"""Errors example by example, and sums that stay on the device and add up exactly over batches and ranks."""

import torch
import torch.nn.functional as F
from torch import Tensor


def float64_sums(*values: Tensor) -> Tensor:
    """The sums of per-example values, each (B,) float32: (len(values),) float64, without a graph and on the device.

    Float64 keeps counts exact beyond 2**24 and leaves the division by the number of examples to the end.
    """
    return torch.stack([value.detach() for value in values]).double().sum(1)


def sums_by_batch(values: Tensor, batch_size: int) -> Tensor:
    """The same of each batch, of values by position of an epoch; the last may be smaller. (..., n) -> (..., steps)."""
    padding = -values.shape[-1] % batch_size
    return F.pad(values, (0, padding)).double().unflatten(-1, (-1, batch_size)).sum(-1)


def topk_errors(logits: Tensor, labels: Tensor, k: int) -> Tensor:
    """1 where the label is not among the k highest logits, or a logit is not a number; else 0. (B, C), (B,) -> (B,) float.

    k is cut to the number of classes. Ties go to the lower class index at k = 1, as argmax does.
    """
    top = logits.argmax(1, keepdim=True) if k == 1 else logits.topk(min(k, logits.shape[1]), dim=1).indices
    return ((top != labels[:, None]).all(1) | logits.isnan().any(1)).float()


def negative_log_likelihood(logits: Tensor, labels: Tensor) -> Tensor:
    """-log p(label), in nats. (B, C), (B,) -> (B,)."""
    return F.cross_entropy(logits.float(), labels, reduction="none")
