"""Digits: scikit-learn's, halved. Figure 1's rings: the radii measured from the paper's drawing."""

import numpy as np
import pytest
import torch

from mixup.data import DATASETS, dataset_info
from mixup.data.sources.toys import digits, rings
from mixup.plan import generator


def test_digits_are_halved_in_the_order_of_the_file():
    from sklearn.datasets import load_digits

    ours, bundle = digits(), load_digits()
    assert ours.train.inputs.shape == (898, 8, 8, 1)
    assert ours.test.inputs.shape == (899, 8, 8, 1)
    assert ours.train.inputs.dtype == ours.test.inputs.dtype == torch.uint8
    assert ours.train.labels.dtype == ours.test.labels.dtype == torch.int64
    images = torch.cat([ours.train.inputs, ours.test.inputs])[..., 0]
    np.testing.assert_array_equal(images, bundle.images)
    np.testing.assert_array_equal(torch.cat([ours.train.labels, ours.test.labels]), bundle.target)
    assert ours.classes == tuple("0123456789")


def test_info_of_digits_agrees_with_the_data():
    ours, info = digits(), DATASETS["digits"]
    pixels = ours.train.inputs.numpy()
    assert (pixels.min(), pixels.max()) == (0, info.white) == (0, 16)
    assert (len(ours.train), len(ours.test)) == (info.train_count, info.test_count)
    assert pixels.shape[1:] == (8, 8, 1)
    assert info.input_shape == (1, 8, 8)
    assert set(ours.train.labels.tolist()) == set(ours.test.labels.tolist()) == set(range(info.num_classes))
    scaled = pixels / info.white
    assert info.mean == pytest.approx([scaled.mean()], rel=0.01)
    assert info.std == pytest.approx([scaled.std()], rel=0.01)


def test_radii_are_those_of_the_drawing():
    data = rings(generator(0, "rings"))
    radius = data.test.inputs.norm(dim=1).numpy()
    outer, inner = (radius[data.test.labels.numpy() == label] for label in (0, 1))
    assert len(inner) == len(outer) == 1000
    assert abs(outer.mean() / inner.mean() - 3.3) < 0.1  # 25.6 and 7.66 points
    assert abs(inner.std() / inner.mean() - 0.16) < 0.015  # 1.22 of 7.66
    assert abs(outer.std() / outer.mean() - 0.08) < 0.008  # 2.1 of 25.6
    angle = np.arctan2(*data.test.inputs.numpy().T)
    assert abs(np.exp(1j * angle).mean()) < 0.05, "all around"


def test_the_same_draw_gives_the_same_points_and_train_is_not_test():
    first, again, other = (rings(generator(seed, "rings")) for seed in (0, 0, 1))
    assert first.fingerprint() == again.fingerprint() != other.fingerprint()
    assert first.source_fingerprint() == again.source_fingerprint() != other.source_fingerprint()
    assert len(first.train) == dataset_info("rings").train_count
    both = torch.cat([first.train.inputs, first.test.inputs])
    assert len(both.unique(dim=0)) == len(both)
