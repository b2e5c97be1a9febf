"""VGG-11 (Simonyan & Zisserman 2015) with BatchNorm and two fully connected layers, for speech (section 3.3, figure 4).

The shapes are those of GCommandsPytorch, whose data, nets and baseline the paper's section matches: no ReLU and no dropout
between the fully connected layers. The biases of its convolutions, which BatchNorm takes off again, are left out.
"""

from itertools import pairwise

from torch import nn

from mixup.errors import UserError

STAGES = ((1,), (2,), (4, 4), (8, 8), (8, 8))  # channels over `width`; each stage ends with a 2x2 max pooling


def vgg11(*, num_classes: int, input_shape: tuple[int, int, int], width: int = 64) -> nn.Sequential:
    """Eight convolutions and two fully connected layers, for 32x32 or more; (B, *input_shape) -> (B, num_classes).

    `width` is that of the first stage, and the others' scale with it. Initialised by torch's defaults.
    """
    channels, height, width_in = input_shape
    if min(height, width_in) < 32:
        raise UserError(f"model.name=vgg11: five poolings need inputs of 32x32 or more, not {height}x{width_in}: use lenet")
    layers: list[nn.Module] = []
    for stage in STAGES:
        for before, after in pairwise((channels, *(width * factor for factor in stage))):
            layers += [nn.Conv2d(before, after, kernel_size=3, padding=1, bias=False), nn.BatchNorm2d(after)]
            layers += [nn.ReLU(inplace=True)]
        layers += [nn.MaxPool2d(2)]
        channels = width * stage[-1]
    pixels = (height // 32) * (width_in // 32)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * pixels, channels), nn.Linear(channels, num_classes))
