"""Wide ResNet (Zagoruyko & Komodakis 2016), the WRN-28-10 of figure 3: pre-activation blocks, wide and in three stages."""

import torch.nn.functional as F
from torch import Tensor, nn

from mixup.errors import UserError
from mixup.models.preact_resnet import preact_stages


class WideResNet(nn.Module):
    """Three stages of (depth - 4) / 6 blocks, then BN-ReLU and pooling; (B, *input_shape) -> (B, num_classes).

    36.5 M parameters at depth 28 and width 10.
    """

    def __init__(
        self, *, num_classes: int, input_shape: tuple[int, int, int], depth: int = 28, width: int = 10, dropout: float = 0.0
    ) -> None:
        super().__init__()
        if depth < 10 or (depth - 4) % 6:
            raise UserError(f"model.depth={depth}: a Wide ResNet has 6 n + 4 layers: 10, 16, 22, 28, 40")
        self.stem = nn.Conv2d(input_shape[0], 16, kernel_size=3, padding=1, bias=False)
        widths = 16 * width, 32 * width, 64 * width
        self.stages = preact_stages(16, widths, blocks=(depth - 4) // 6, dropout=dropout)
        self.bn = nn.BatchNorm2d(64 * width)
        self.classifier = nn.Linear(64 * width, num_classes)
        self.apply(initialise)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> logits, (B, classes)."""
        features = F.relu(self.bn(self.stages(self.stem(x))), inplace=True)
        return self.classifier(features.mean((2, 3)))


def initialise(module: nn.Module) -> None:
    """He initialisation by fan-out and a zero classifier bias, as in the paper's reference code."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
