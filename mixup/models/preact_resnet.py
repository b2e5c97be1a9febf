"""PreAct ResNet-18 for small images (He et al. 2016, "Identity Mappings"), the net of figure 3 and tables 2 and 5.

The variant of the authors' second code base and of the one they name: a plain 3x3 stem, a shortcut of the raw input unless
it is projected, and no BatchNorm before the average pooling. The released mixup-cifar10 differs in all three. BatchNorm
weights start uniform in [0, 1], as they did in the authors' PyTorch; the rest is initialised by torch's defaults.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn


class PreActBlock(nn.Module):
    """BN-ReLU-conv-BN-ReLU-conv plus the shortcut. Section 3.4 puts its dropout between the two convolutions."""

    def __init__(self, in_channels: int, channels: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, channels, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False)
        self.projection: nn.Conv2d | None = None
        if stride != 1 or in_channels != channels:
            self.projection = nn.Conv2d(in_channels, channels, kernel_size=1, stride=stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, channels, H / stride, W / stride). The projection reads the activated input, as in
        He et al.'s code; the identity shortcut passes the raw one on."""
        active = F.relu(self.bn1(x), inplace=True)
        shortcut = x if self.projection is None else self.projection(active)
        residual = self.conv1(active)
        residual = self.conv2(self.dropout(F.relu(self.bn2(residual), inplace=True)))
        return residual + shortcut


def preact_stages(in_channels: int, widths: Sequence[int], *, blocks: int, dropout: float) -> nn.Sequential:
    """Stages of `blocks` blocks, one stage for each width in channels; all but the first halve height and width."""
    stages: list[nn.Module] = []
    for before, width in pairwise([in_channels, *widths]):
        first = PreActBlock(before, width, 2 if stages else 1, dropout)
        stages.append(nn.Sequential(first, *(PreActBlock(width, width, 1, dropout) for _ in range(blocks - 1))))
    return nn.Sequential(*stages)


class PreActResNet18(nn.Module):
    """Four stages of two blocks; (B, *input_shape) -> (B, num_classes). 11.17 M parameters at width 64."""

    def __init__(
        self, *, num_classes: int, input_shape: tuple[int, int, int], width: int = 64, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(input_shape[0], width, kernel_size=3, padding=1, bias=False)
        self.stages = preact_stages(width, [width, 2 * width, 4 * width, 8 * width], blocks=2, dropout=dropout)
        self.classifier = nn.Linear(8 * width, num_classes)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                # torch's default until 1.2, and so the authors'. With weights of 1, today's default, and no BatchNorm before
                # the pooling, the loss leaps to 30 in the first steps at the paper's learning rate.
                nn.init.uniform_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> logits, (B, classes)."""
        return self.classifier(self.stages(self.stem(x)).mean((2, 3)))
