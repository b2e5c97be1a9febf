"""The fully connected net of section 3.6 (table 4): two hidden layers of 128 ReLU units."""

import math
from itertools import pairwise

from torch import nn

from mixup.errors import UserError


def mlp(
    *, num_classes: int, input_shape: tuple[int, ...], width: int = 128, depth: int = 2, init: str | None = None
) -> nn.Sequential:
    """`depth` hidden layers of `width` units; (B, *input_shape), flattened, -> (B, num_classes).

    init: None for torch's own weights; `glorot` for uniform ones by Glorot and Bengio (2010) and biases of zero, as
    TensorFlow and Keras have them.
    """
    if depth < 1:
        raise UserError(f"model.depth={depth}: an mlp has 1 hidden layer or more")
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in pairwise([math.prod(input_shape), *[width] * depth]):
        layers += [nn.Linear(before, after), nn.ReLU(inplace=True)]
    layers.append(nn.Linear(width, num_classes))
    for layer in layers:
        if init == "glorot" and isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers)
