"""PreAct ResNet-18 for small images (He et al. 2016, "Identity Mappings"), the net of figure 3 and tables 2 and 5.

The variant of the authors' second code base and of the one they name: a plain 3x3 stem, a shortcut of the raw input unless
it is projected, and no BatchNorm before the average pooling. The released mixup-cifar10 differs in all three. BatchNorm
weights start uniform in [0, 1], as they did in the authors' PyTorch.
"""

from __future__ import annotations

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
        self.projection = (
            nn.Conv2d(in_channels, channels, kernel_size=1, stride=stride, bias=False)
            if stride != 1 or in_channels != channels
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        active = F.relu(self.bn1(x), inplace=True)
        shortcut = x if self.projection is None else self.projection(active)
        residual = self.conv1(active)
        residual = self.conv2(self.dropout(F.relu(self.bn2(residual), inplace=True)))
        return residual + shortcut


class PreActResNet(nn.Module):
    """Four stages of blocks; (B, channels, H, W) -> (B, num_classes)."""

    def __init__(self, blocks: tuple[int, ...], *, num_classes: int, in_channels: int, width: int, dropout: float) -> None:
        super().__init__()
        self.stem = nn.Conv2d(in_channels, width, kernel_size=3, padding=1, bias=False)
        stages = []
        before = width
        for index, depth in enumerate(blocks):
            channels = width * 2**index
            first = PreActBlock(before, channels, stride=1 if index == 0 else 2, dropout=dropout)
            rest = [PreActBlock(channels, channels, stride=1, dropout=dropout) for _ in range(depth - 1)]
            stages.append(nn.Sequential(first, *rest))
            before = channels
        self.stages = nn.Sequential(*stages)
        self.classifier = nn.Linear(before, num_classes)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                # torch's default until 1.2, and so the authors'. With weights of 1, today's default, and no BatchNorm before
                # the pooling, the loss leaps to 30 in the first steps at the paper's learning rate.
                nn.init.uniform_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.stages(self.stem(x)).mean((2, 3)))


def preact_resnet18(
    *, num_classes: int, input_shape: tuple[int, int, int], width: int = 64, dropout: float = 0.0
) -> PreActResNet:
    """Four stages of two blocks; 11.17 M parameters at width 64, weights initialised by torch's defaults of 2017."""
    return PreActResNet((2, 2, 2, 2), num_classes=num_classes, in_channels=input_shape[0], width=width, dropout=dropout)
