"""Evaluation: every example once, on any batch size."""

from __future__ import annotations

import contextlib

import pytest
import torch
import torch.nn.functional as F

from mixup.training.distributed import Group
from mixup.training.engine import evaluate
from tests.training.test_step import images, network


@pytest.mark.parametrize("n", [1, 2, 3, 7, 101])
@pytest.mark.parametrize("batch_size", [1, 4, 500])
def test_evaluation_counts_every_example_once(n, batch_size):
    data, model = images(n, padding=0), network().eval()
    means, logits = evaluate(model, data, batch_size=batch_size, autocast=contextlib.nullcontext, group=Group())
    with torch.no_grad():
        expected = model(data.fetch(torch.arange(n)))
    assert torch.allclose(logits, expected, atol=1e-5)
    wrong = (expected.argmax(1) != data.labels).sum().item()
    assert means["count"] == n
    assert means["top1_error"] == pytest.approx(100 * wrong / n)
    assert means["nll"] == pytest.approx(F.cross_entropy(expected, data.labels).item(), rel=1e-5)
