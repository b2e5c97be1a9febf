"""Which training examples, and with which labels: subsets, held-out splits, label noise."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import chi2_contingency, chisquare

from mixup.data import Dataset, Split, open_dataset
from mixup.data.dataset import balanced_subset, corrupt
from mixup.data.sources.toys import digits
from mixup.errors import UserError
from mixup.plan import generator

# Unequal classes in no order, as in the digits.
LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(10), [20, 25, 30, 22, 21, 40, 33, 20, 28, 24]))


def rng(seed: int = 0) -> np.random.Generator:
    return generator(seed, "test")


# Subsets


@pytest.mark.parametrize("size", [1, 9, 10, 57, 200])
def test_subset_is_balanced_and_in_rising_order(size):
    chosen = balanced_subset(LABELS, size, rng())
    counts = np.bincount(LABELS[chosen], minlength=10)
    assert len(chosen) == counts.sum() == size
    assert counts.max() - counts.min() <= 1
    assert (np.diff(chosen) > 0).all()


def test_subset_is_a_function_of_its_stream():
    same, other = balanced_subset(LABELS, 57, rng(0)), balanced_subset(LABELS, 57, rng(1))
    np.testing.assert_array_equal(balanced_subset(LABELS, 57, rng(0)), same)
    assert set(same) != set(other)


def test_smaller_subset_lies_inside_the_larger():
    subsets = [set(balanced_subset(LABELS, size, rng())) for size in range(0, 201, 7)]
    assert all(small < large for small, large in pairwise(subsets))


def test_every_example_and_every_class_has_the_same_chance():
    labels = np.tile(np.arange(10), 6)
    chosen = np.concatenate([balanced_subset(labels, 23, rng(seed)) for seed in range(2_000)])
    assert chisquare(np.bincount(chosen, minlength=60)).pvalue > 0.001
    assert chisquare(np.bincount(labels[chosen])).pvalue > 0.001


def test_subset_with_too_few_of_a_class_names_it_and_the_remedy():
    with pytest.raises(UserError, match="class 0 has 20 of the 25") as caught:
        balanced_subset(LABELS, 250, rng())
    assert "data.train_size" in str(caught.value)
    assert "data.validation" in str(caught.value)


def test_whether_a_subset_exists_does_not_depend_on_the_seed():
    labels = np.array([0] * 5 + [1] * 6)
    for seed in range(20):
        assert len(balanced_subset(labels, 11, rng(seed))) == 11


# Label noise


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("num_classes", [10, 100])
def test_noise_replaces_the_share_asked_for_by_uniform_labels(share, num_classes):
    n = 50_000
    labels = np.repeat(np.arange(num_classes), n // num_classes)
    noisy, replaced = corrupt(labels, num_classes, share, rng())

    def within_four_sigma(count: int, p: float) -> bool:
        return abs(count - n * p) < 4 * np.sqrt(n * p * (1 - p))

    assert within_four_sigma(replaced.sum(), share)
    assert within_four_sigma((noisy != labels).sum(), share * (1 - 1 / num_classes))
    np.testing.assert_array_equal(noisy[~replaced], labels[~replaced])
    assert chisquare(np.bincount(noisy[replaced], minlength=num_classes)).pvalue > 0.001
    assert noisy.dtype == np.int64


def test_noise_does_not_look_at_the_true_label():
    labels = np.repeat(np.arange(10), 5_000)
    noisy, replaced = corrupt(labels, 10, 0.5, rng())
    pairs = np.zeros((10, 10))
    np.add.at(pairs, (labels[replaced], noisy[replaced]), 1)
    assert chi2_contingency(pairs).pvalue > 0.001
    assert chisquare(np.bincount(labels[replaced])).pvalue > 0.001


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_noise_at_its_limits(share):
    noisy, replaced = corrupt(LABELS, 10, share, rng())
    assert replaced.mean() == share
    assert (noisy == LABELS).all() == (share == 0)


def test_noise_is_a_function_of_its_stream_and_leaves_the_labels_it_is_given():
    before = LABELS.copy()
    first, second, other = (corrupt(LABELS, 10, 0.5, rng(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, second)
    assert (first[0] != other[0]).any()
    assert (first[1] != other[1]).any()
    np.testing.assert_array_equal(LABELS, before)


# All of them together, on the digits


def opened(*, train_size: int | None = None, validation: float = 0.0, label_noise: float = 0.0, seed: int = 0) -> Dataset:
    return open_dataset(
        "digits",
        root=None,
        download=False,
        train_size=train_size,
        validation=validation,
        label_noise=label_noise,
        stream=lambda name: generator(seed, name),
    )


def examples(split: Split | None) -> list[tuple[bytes, int]]:
    """Image and label of each example, comparable."""
    assert split is not None
    return [(image.numpy().tobytes(), int(label)) for image, label in zip(split.inputs, split.labels)]


def images(split: Split) -> list[bytes]:
    return [image for image, _ in examples(split)]


def test_validation_and_training_set_share_the_official_one():
    data, whole = opened(validation=0.2), opened()
    assert len(data.validation) == round(0.2 * 898) == 180
    assert len(data.train) == 898 - 180
    assert data.validation.labels.bincount().tolist() == [18] * 10
    assert Counter(examples(data.train)) + Counter(examples(data.validation)) == Counter(examples(whole.train))
    assert examples(data.test) == examples(whole.test)
    assert whole.validation is None


def test_validation_set_is_the_same_and_clean_whatever_the_training_set():
    expected = examples(opened(validation=0.2).validation)
    for train_size, label_noise in ((100, 0.0), (None, 0.8), (100, 0.8)):
        data = opened(validation=0.2, train_size=train_size, label_noise=label_noise)
        assert examples(data.validation) == expected
        assert not data.validation.corrupted.any()
    assert examples(opened(validation=0.2, seed=1).validation) != expected


def test_subset_is_drawn_outside_of_the_validation_set():
    data = opened(validation=0.2, train_size=500)
    assert not Counter(examples(data.train)) - Counter(examples(opened(validation=0.2).train))
    assert data.train.labels.bincount().tolist() == [50] * 10


def test_noise_changes_the_labels_of_the_same_examples():
    clean, noisy = opened(train_size=500), opened(train_size=500, label_noise=0.6)
    assert images(noisy.train) == images(clean.train)
    untouched = ~noisy.train.corrupted
    assert (noisy.train.labels[untouched] == clean.train.labels[untouched]).all()
    assert 0.5 < noisy.train.corrupted.double().mean() < 0.7
    assert (noisy.train.labels != clean.train.labels).double().mean() > 0.4
    assert not clean.train.corrupted.any()


def test_each_draw_has_a_stream_of_its_own():
    """Else the choice of one would follow from another's."""
    names = []

    def stream(name: str) -> np.random.Generator:
        names.append(name)
        return generator(0, name)

    open_dataset("digits", root=None, download=False, train_size=100, validation=0.2, label_noise=0.2, stream=stream)
    assert sorted(names) == ["label_noise", "subset", "validation"]


def test_test_labels_stay_clean():
    data = opened(label_noise=1.0)
    np.testing.assert_array_equal(data.test.labels.numpy(), digits().test.labels)
    assert not data.test.corrupted.any()


def test_subset_larger_than_what_is_left_is_an_error_with_the_number():
    with pytest.raises(UserError, match=r"data\.train_size=899.*has 898"):
        opened(train_size=899)
    with pytest.raises(UserError, match=r"data\.train_size=800.*has 718"):
        opened(train_size=800, validation=0.2)
