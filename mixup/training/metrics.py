"""Sums that stay on the device until an epoch ends, and add up exactly over batches and ranks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass
class Totals:
    """Named sums and the number of examples they run over.

    sums: (len(names),) float64. Division happens once, in `means`.
    """

    names: tuple[str, ...]
    sums: Tensor
    count: int = 0

    @classmethod
    def zero(cls, *names: str, device: torch.device) -> Totals:
        return cls(names, torch.zeros(len(names), dtype=torch.float64, device=device))

    def add(self, *values: Tensor, count: int) -> None:
        """Adds per-example values, each (B,), in the order of the names. No device synchronisation."""
        self.sums += torch.stack([value.detach().double().sum() for value in values])
        self.count += count

    def means(self) -> dict[str, float]:
        """Each sum over the count; not a number where nothing was counted. Waits for the device."""
        return {
            name: value / self.count if self.count else float("nan") for name, value in zip(self.names, self.sums.tolist())
        }


def topk_errors(logits: Tensor, labels: Tensor, k: int) -> Tensor:
    """1 where the label is not among the k highest logits, else 0. (B, C), (B,) -> (B,) float.

    k is cut to the number of classes. Ties go to the lower class index at k = 1, as argmax does.
    """
    if k == 1:
        return (logits.argmax(1) != labels).float()
    top = logits.topk(min(k, logits.shape[1]), dim=1).indices
    return (top != labels[:, None]).all(1).float()


def negative_log_likelihood(logits: Tensor, labels: Tensor) -> Tensor:
    """-log p(label), in nats. (B, C), (B,) -> (B,)."""
    return F.cross_entropy(logits.float(), labels, reduction="none")
