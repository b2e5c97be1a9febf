"""Figure 1's rings: the radii measured from the paper's drawing."""

import numpy as np
import torch

from mixup.data import dataset_info
from mixup.data.sources.toys import rings
from mixup.plan import generator


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
    assert len(first.train) == dataset_info("rings").train_count
    both = torch.cat([first.train.inputs, first.test.inputs])
    assert len(both.unique(dim=0)) == len(both)
