"""The fully connected net of section 3.6 (table 4): two hidden layers of 128 ReLU units."""

import math
from itertools import pairwise

from torch import nn

from mixup.errors import UserError


def mlp(*, num_classes: int, input_shape: tuple[int, ...], width: int = 128, depth: int = 2) -> nn.Sequential:
    """`depth` hidden layers of `width` units; (B, *input_shape), flattened, -> (B, num_classes)."""
    if depth < 1:
        raise UserError(f"model.depth={depth}: an mlp has 1 hidden layer or more")
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in pairwise([math.prod(input_shape), *[width] * depth]):
        layers += [nn.Linear(before, after), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Linear(width, num_classes))
