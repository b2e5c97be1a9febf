"""Adversarial examples (section 3.5): FGSM and I-FGSM as in table 3, and PGD with restarts as the stronger check.

Everything here is in pixels, 0 to 255, and normalisation is part of the model under attack (`PixelModel`): a perturbation of
4 is four of 255 grey levels in every channel, whatever a channel's deviation. The paper writes "epsilon = 4 for each pixel"
without a scale; 0 to 255 is the only sensible reading (inference). Its ten steps of I-FGSM are equal, and their size is not
stated: epsilon / 10 here, so that ten of them reach the bound. Labels are the true ones; pixels stay valid.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixup.data import DatasetInfo

Model = Callable[[Tensor], Tensor]

WHITE = 255.0
STEPS = {"fgsm": 1, "ifgsm": 10, "pgd": 20}


class PixelModel(nn.Module):
    """A network behind its data's normalisation: (B, C, H, W) pixels, 0 to 255, -> (B, num_classes)."""

    def __init__(self, model: nn.Module, info: DatasetInfo, device: torch.device) -> None:
        super().__init__()
        self.model = model
        self.mean = WHITE * torch.tensor(info.mean, device=device).view(-1, 1, 1)
        self.std = WHITE * torch.tensor(info.std, device=device).view(-1, 1, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.model((pixels - self.mean) / self.std)

    def pixels(self, inputs: Tensor) -> Tensor:
        """The pixels of normalised inputs: the inverse of what `forward` does, valid to rounding."""
        return (inputs * self.std + self.mean).clamp(0, WHITE)


def fgsm(model: Model, pixels: Tensor, labels: Tensor, *, eps: float) -> Tensor:
    """One step of `eps` along the sign of the loss's gradient (Goodfellow et al. 2015). Returns (B, C, H, W)."""
    return climb(model, pixels, labels, start=pixels, eps=eps, step=eps, steps=1)


def ifgsm(model: Model, pixels: Tensor, labels: Tensor, *, eps: float, steps: int = STEPS["ifgsm"]) -> Tensor:
    """`steps` steps of eps / steps (Kurakin et al. 2017), each from where the last one led."""
    return climb(model, pixels, labels, start=pixels, eps=eps, step=eps / steps, steps=steps)


def pgd(
    model: Model,
    pixels: Tensor,
    labels: Tensor,
    *,
    eps: float,
    steps: int = STEPS["pgd"],
    restarts: int = 2,
    source: torch.Generator | None = None,
) -> Tensor:
    """Steps of 2.5 * eps / steps from random points of the ball, kept inside it (Madry et al. 2018): of all restarts, for
    each image, one that is misclassified, or else the one of the highest loss. source: on the device of the pixels."""
    strongest, highest = pixels, torch.full((len(pixels),), -torch.inf, device=pixels.device)
    for _ in range(restarts):
        noise = torch.rand(pixels.shape, generator=source, device=pixels.device)
        start = (pixels + eps * (2 * noise - 1)).clamp(0, WHITE)
        adversarial = climb(model, pixels, labels, start=start, eps=eps, step=2.5 * eps / steps, steps=steps)
        with torch.no_grad():
            logits = model(adversarial)
        loss = F.cross_entropy(logits.float(), labels, reduction="none")
        loss = torch.where(logits.argmax(1) != labels, torch.inf, loss)
        strongest = torch.where((loss > highest)[:, None, None, None], adversarial, strongest)
        highest = torch.maximum(loss, highest)
    return strongest


def climb(model: Model, pixels: Tensor, labels: Tensor, *, start: Tensor, eps: float, step: float, steps: int) -> Tensor:
    """Signed gradient steps, after each one back into the ball of `eps` around the pixels and into valid pixels."""
    low, high = (pixels - eps).clamp(min=0), (pixels + eps).clamp(max=WHITE)
    adversarial = start
    for _ in range(steps):
        with torch.enable_grad():
            leaf = adversarial.detach().requires_grad_()
            # The sum over examples: one does not change another's gradient.
            loss = F.cross_entropy(model(leaf).float(), labels, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, leaf)
        adversarial = torch.minimum(torch.maximum(adversarial + step * gradient.sign(), low), high)
    return adversarial


ATTACKS: dict[str, Callable[..., Tensor]] = {"fgsm": fgsm, "ifgsm": ifgsm, "pgd": pgd}
