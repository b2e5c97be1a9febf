"""DenseNet-BC for small images (Huang et al. 2017), the DenseNet-BC-190 with growth 40 of figure 3.

Every layer reads the features of all layers before it. The body passes them on as a list, so that a concatenation is made
where it is read, and can be dropped and recomputed.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mixup.errors import UserError
from mixup.models.wide_resnet import initialise


class PointwiseConv(nn.Module):
    """BN-ReLU-1x1 convolution-dropout of the concatenated features; [(B, c, H, W), ...] -> (B, out_channels, H, W).

    memory_efficient: the concatenation and its BN-ReLU, nearly all of a DenseNet's memory, are not kept for the backward
    pass but recomputed in it (Pleiss et al. 2017). The convolution is not: PyTorch stops as soon as its input is there.
    """

    def __init__(self, in_channels: int, out_channels: int, *, dropout: float, memory_efficient: bool) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(in_channels)
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.memory_efficient = memory_efficient

    def forward(self, features: list[Tensor]) -> Tensor:
        # A compiler decides by itself what to recompute, and refuses a context function.
        recompute = self.memory_efficient and self.training and torch.is_grad_enabled() and not torch.compiler.is_compiling()
        # Dropout stays outside, so that the recomputation has nothing random and needs no generator's state.
        return self.dropout(self.convolve_twice(*features) if recompute else self.convolve(*features))

    def convolve(self, *features: Tensor) -> Tensor:
        return self.conv(F.relu(self.bn(torch.cat(features, 1)), inplace=True))

    def convolve_twice(self, *features: Tensor) -> Tensor:
        """`convolve`, recomputed in the backward pass."""

        def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
            return nullcontext(), self.fixed_running_statistics()

        return checkpoint(self.convolve, *features, use_reentrant=False, preserve_rng_state=False, context_fn=contexts)

    @contextmanager
    def fixed_running_statistics(self) -> Iterator[None]:
        """Recomputation must not update the running statistics again. BatchNorm updates copies of them inside, which keep
        the number of saved tensors equal to the first pass."""
        buffers = dict(self.bn.named_buffers())
        for name, statistic in buffers.items():
            setattr(self.bn, name, statistic.clone())
        try:
            yield
        finally:
            for name, statistic in buffers.items():
                setattr(self.bn, name, statistic)


class DenseLayer(nn.Module):
    """A bottleneck of 4 * growth channels, then BN-ReLU-3x3 convolution-dropout to `growth` more features for the list."""

    def __init__(self, in_channels: int, growth: int, *, dropout: float, memory_efficient: bool) -> None:
        super().__init__()
        self.bottleneck = PointwiseConv(in_channels, 4 * growth, dropout=dropout, memory_efficient=memory_efficient)
        self.bn = nn.BatchNorm2d(4 * growth)
        self.conv = nn.Conv2d(4 * growth, growth, kernel_size=3, padding=1, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Each (B, any channels, H, W) -> the same, and `growth` channels more."""
        return [*features, self.dropout(self.conv(F.relu(self.bn(self.bottleneck(features)), inplace=True)))]


class Transition(nn.Module):
    """Between dense blocks: half of the channels (the C of "BC"), half of the height and width, one tensor in the list."""

    def __init__(self, in_channels: int, *, dropout: float, memory_efficient: bool) -> None:
        super().__init__()
        self.compress = PointwiseConv(in_channels, in_channels // 2, dropout=dropout, memory_efficient=memory_efficient)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Each (B, any channels, H, W), C in all -> one of (B, C // 2, H // 2, W // 2)."""
        return [F.avg_pool2d(self.compress(features), 2)]


class DenseNet(nn.Module):
    """Three dense blocks of (depth - 4) / 6 layers, then BN-ReLU and pooling; (B, *input_shape) -> (B, num_classes).

    25.6 M parameters at depth 190 and growth 40. For images of 4x4 or more.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        input_shape: tuple[int, int, int],
        depth: int = 190,
        growth: int = 40,
        dropout: float = 0.0,
        memory_efficient: bool = False,
    ) -> None:
        super().__init__()
        if depth < 10 or (depth - 4) % 6:
            raise UserError(f"model.depth={depth}: a DenseNet-BC has 6 n + 4 layers: 40, 100, 190, 250")
        channels = 2 * growth
        self.stem = nn.Conv2d(input_shape[0], channels, kernel_size=3, padding=1, bias=False)
        layers: list[nn.Module] = []
        for block in range(3):
            if block > 0:
                layers.append(Transition(channels, dropout=dropout, memory_efficient=memory_efficient))
                channels //= 2
            for _ in range((depth - 4) // 6):
                layers.append(DenseLayer(channels, growth, dropout=dropout, memory_efficient=memory_efficient))
                channels += growth
        self.layers = nn.Sequential(*layers)
        self.bn = nn.BatchNorm2d(channels)
        self.classifier = nn.Linear(channels, num_classes)
        self.apply(initialise)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> logits, (B, classes)."""
        features = torch.cat(self.layers([self.stem(x)]), 1)
        return self.classifier(F.relu(self.bn(features), inplace=True).mean((2, 3)))
