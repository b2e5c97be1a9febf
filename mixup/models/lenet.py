"""LeNet: two convolutions and two fully connected layers (LeCun et al. 1998, with ReLU and max pooling)."""

from __future__ import annotations

from torch import nn


def lenet(*, num_classes: int, input_shape: tuple[int, int, int]) -> nn.Sequential:
    """conv5 20, pool, conv5 50, pool, 500, classes. For inputs of 4x4 or more; (B, *input_shape) -> (B, num_classes)."""
    channels, height, width = input_shape
    return nn.Sequential(
        nn.Conv2d(channels, 20, kernel_size=5, padding=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(20, 50, kernel_size=5, padding=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(50 * (height // 4) * (width // 4), 500),
        nn.ReLU(inplace=True),
        nn.Linear(500, num_classes),
    )
