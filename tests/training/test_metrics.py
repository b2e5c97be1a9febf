"""Errors and sums against scikit-learn, scipy and exact arithmetic."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from sklearn.metrics import top_k_accuracy_score

from mixup.training.engine import means_of
from mixup.training.metrics import float64_sums, negative_log_likelihood, sums_by_batch, topk_errors


def random_logits(n: int = 1_000, classes: int = 10) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.normal(size=(n, classes))).float(), torch.from_numpy(rng.integers(0, classes, n))


@pytest.mark.parametrize("k", [1, 2, 5, 9])
def test_topk_errors_are_those_of_scikit_learn(k):
    logits, labels = random_logits()
    errors = topk_errors(logits, labels, k)
    accuracy = top_k_accuracy_score(labels.numpy(), logits.numpy(), k=k, labels=range(10))
    assert errors.shape == labels.shape
    assert set(errors.tolist()) == {0.0, 1.0}
    assert errors.double().mean().item() == pytest.approx(1 - accuracy, abs=1e-12)


def test_topk_errors_example_by_example():
    logits = torch.tensor([[3.0, 2.0, 1.0, 0.0]] * 4)
    labels = torch.arange(4)
    assert topk_errors(logits, labels, 1).tolist() == [0, 1, 1, 1]
    assert topk_errors(logits, labels, 2).tolist() == [0, 0, 1, 1]
    assert topk_errors(logits, labels, 3).tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize("k", [10, 11, 1_000])
def test_no_error_is_left_once_k_reaches_the_number_of_classes(k):
    logits, labels = random_logits()
    assert topk_errors(logits, labels, k).tolist() == [0.0] * 1_000


def test_tie_for_the_first_place_goes_to_the_lower_class():
    logits = torch.tensor([[1.0, 2.0, 2.0], [0.0, 0.0, 0.0]])
    assert topk_errors(logits, torch.tensor([1, 0]), 1).tolist() == [0, 0]
    assert topk_errors(logits, torch.tensor([2, 2]), 1).tolist() == [1, 1]
    assert topk_errors(torch.zeros(10, 10), torch.arange(10), 1).tolist() == [0] + [1] * 9


@pytest.mark.parametrize("k", [1, 2, 3])
def test_a_logit_that_is_not_a_number_is_an_error_of_its_example_alone(k):
    logits = torch.tensor([[3.0, 2.0, 1.0], [3.0, math.nan, 1.0], [math.nan] * 3])
    assert topk_errors(logits, torch.zeros(3, dtype=torch.int64), k).tolist() == [0, 1, 1]


def test_sums_by_batch_are_of_each_batch_and_of_each_row():
    values = torch.tensor([[1.0, 2, 3, 4, 5], [10, 20, 30, 40, 50]])
    assert sums_by_batch(values[0], 2).tolist() == [3, 7, 5]
    assert sums_by_batch(values, 2).tolist() == [[3, 7, 5], [30, 70, 50]]
    assert sums_by_batch(values, 5).tolist() == [[15], [150]]
    assert sums_by_batch(torch.tensor([2.0**24, 1.0]), 2).tolist() == [2**24 + 1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_negative_log_likelihood_is_scipys(dtype):
    logits, labels = random_logits()
    logits = logits.to(dtype)
    theirs = -log_softmax(logits.double().numpy(), axis=1)[np.arange(len(labels)), labels.numpy()]
    ours = negative_log_likelihood(logits, labels)
    assert ours.dtype == torch.float32
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-5, atol=1e-6)


def test_sums_over_uneven_batches_are_those_of_all_examples():
    logits, labels = random_logits()
    whole = float64_sums(topk_errors(logits, labels, 1), topk_errors(logits, labels, 5))
    parts = torch.zeros(2, dtype=torch.float64)
    for rows in torch.arange(1_000).split([1, 500, 3, 250, 246]):
        parts += float64_sums(topk_errors(logits[rows], labels[rows], 1), topk_errors(logits[rows], labels[rows], 5))
    assert torch.equal(parts, whole)
    assert means_of(("top1", "top5"), parts, 1_000) == {
        "top1": int((logits.argmax(1) != labels).sum()) / 1_000,
        "top5": int((logits.topk(5).indices != labels[:, None]).all(1).sum()) / 1_000,
    }


def test_sums_count_on_where_float32_would_stop():
    sums = float64_sums(torch.tensor([2.0**24]))
    for _ in range(3):
        sums += float64_sums(torch.ones(1))
    assert sums.tolist() == [2**24 + 3]
    assert float64_sums(torch.tensor([2.0**24, 1.0])).tolist() == [2**24 + 1]


def test_sums_keep_no_graph():
    assert not float64_sums(torch.ones(3, requires_grad=True) * 2).requires_grad


def test_a_mean_over_nothing_is_not_a_number():
    assert math.isnan(means_of(("loss",), torch.zeros(1, dtype=torch.float64), 0)["loss"])
