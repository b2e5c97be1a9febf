"""What is known of each dataset without opening it: `DATASETS` by name."""

from dataclasses import dataclass, field
from functools import partial

from mixup.errors import UserError, suggestion


@dataclass(frozen=True)
class DatasetInfo:
    """Sizes, statistics and augmentation of a dataset.

    num_classes: of the official dataset; a folder that holds some of the classes has fewer, and its `Dataset.info` says so.
    input_shape: (channels, height, width) of images and spectrograms, (features,) of tables.
    mean, std: of images, per channel, on the scale 0 to 1; empty for inputs that come normalised.
    train_count, validation_count, test_count: examples of the official split, for estimates without the data.
    crop_padding, flip, resized_crop: the augmentation of the paper; 0 and False for none.
    resize: the shorter side at test time, before the centre crop to `input_shape`; None for images of one size.
    white: the pixel value that is 1 after scaling.
    """

    num_classes: int
    input_shape: tuple[int, ...]
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    train_count: int = field(kw_only=True)
    validation_count: int = field(kw_only=True, default=0)
    test_count: int = field(kw_only=True)
    crop_padding: int = 0
    flip: bool = False
    resized_crop: bool = False
    resize: int | None = None
    white: int = 255


cifar = partial(DatasetInfo, input_shape=(3, 32, 32), crop_padding=4, flip=True, train_count=50_000, test_count=10_000)
photographs = partial(DatasetInfo, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), flip=True, resized_crop=True)


def table(rows: int, features: int, classes: int) -> DatasetInfo:
    """A UCI dataset, half of it to train on and half to test; `sources.tables` says how features are counted."""
    return DatasetInfo(classes, (features,), train_count=rows - rows // 2, test_count=rows // 2)


# Means and deviations of CIFAR-10 as both of the authors' codes have them; its deviations are means of per-image ones.
# The paper is silent on CIFAR-100 and ImageNet: the values in common use.
DATASETS: dict[str, DatasetInfo] = {
    "digits": DatasetInfo(10, (1, 8, 8), (0.3074,), (0.3772,), white=16, train_count=898, test_count=899),
    "rings": DatasetInfo(2, (2,), train_count=512, test_count=2000),
    "cifar10": cifar(10, mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.2010)),
    "cifar100": cifar(100, mean=(0.5071, 0.4867, 0.4408), std=(0.2675, 0.2565, 0.2761)),
    "imagenet": photographs(1000, (3, 224, 224), resize=256, train_count=1_281_167, test_count=50_000),
    "tiny_imagenet": photographs(200, (3, 64, 64), resize=64, train_count=100_000, test_count=10_000),
    # Counts by the official lists (section 3.3; PAPER.md 2.4), spectrograms of 161 frequencies in 101 frames.
    "speech_commands": DatasetInfo(30, (1, 161, 101), train_count=51_088, validation_count=6_798, test_count=6_835),
    "speech_commands_v2": DatasetInfo(35, (1, 161, 101), train_count=84_843, validation_count=9_981, test_count=11_005),
    "abalone": table(4177, 10, 28),
    "arcene": table(200, 10_000, 2),
    "arrhythmia": table(452, 279, 13),
    "htru2": table(17_898, 8, 2),
    "iris": table(150, 4, 3),
    "iris_uci": table(150, 4, 3),
    "phishing": table(1353, 9, 3),
    "phishing_websites": table(11_055, 30, 2),
    "wine": table(178, 13, 3),
    "breast_cancer": table(569, 30, 2),
}


def dataset_info(name: str) -> DatasetInfo:
    """The entry of a dataset. UserError for an unknown name."""
    if name not in DATASETS:
        raise UserError(f"data.name={name}: no such dataset{suggestion(name, DATASETS)}; there are {', '.join(DATASETS)}")
    return DATASETS[name]
