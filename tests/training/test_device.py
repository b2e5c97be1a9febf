"""What a process sets up for its device."""

import sys

import pytest
import torch

from mixup.training.device import generator_of

ALLOCATES = """
import resource, sys, torch
from mixup.training.device import set_up_device
if sys.argv[1] == "set up":
    set_up_device(torch.device("cpu"))
for _ in range(20):  # until the blocks of 64 MiB have found their places
    torch.ones(2**24)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(2**24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator is of Linux")
def test_memory_that_is_freed_is_used_again(command):
    """By page faults, in processes of their own: a heap in use has places elsewhere."""
    fresh, kept = (int(command("-c", ALLOCATES, argument).stdout) for argument in ("as it is", "set up"))
    assert kept < fresh / 100


def test_one_generator_seeded_draws_what_all_seeded_draw(cpu):
    torch.manual_seed(7)
    expected = torch.nn.functional.dropout(torch.ones(100))
    generator_of(cpu).manual_seed(7)
    assert torch.equal(torch.nn.functional.dropout(torch.ones(100)), expected)
