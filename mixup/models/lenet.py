"""LeNet: two convolutions and two fully connected layers (LeCun et al. 1998, with ReLU and max pooling), in two sizes."""

from torch import nn

from mixup.errors import UserError


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


def speech_lenet(*, num_classes: int, input_shape: tuple[int, int, int], dropout: float = 0.5) -> nn.Sequential:
    """The LeNet of section 3.3 and figure 4, for 16x16 or more; (B, *input_shape) -> (B, num_classes).

    As in GCommandsPytorch, whose data and baseline the section matches: dropout of whole channels after the second
    convolution and of units before the last layer.
    """
    channels, height, width = input_shape
    if min(height, width) < 16:
        raise UserError(f"model.name=speech_lenet needs inputs of 16x16 or more, not {height}x{width}: use lenet")
    # Height and width after twice an unpadded 5x5 convolution and a 2x2 pooling.
    pooled_height, pooled_width = (((size - 4) // 2 - 4) // 2 for size in (height, width))
    return nn.Sequential(
        nn.Conv2d(channels, 20, kernel_size=5),
        nn.MaxPool2d(2),
        nn.ReLU(inplace=True),
        nn.Conv2d(20, 20, kernel_size=5),
        nn.Dropout2d(dropout),
        nn.MaxPool2d(2),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(20 * pooled_height * pooled_width, 1000),
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
        nn.Linear(1000, num_classes),
    )
