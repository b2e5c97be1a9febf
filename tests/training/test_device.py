"""What a process sets up for its device."""

import os
import sys

import pytest
import torch

from mixup.errors import UserError
from mixup.run.compose import configuration
from mixup.training.device import generator_of, require_precision, set_up_device, slow_precision

ALLOCATES = """
import resource, sys, torch
from mixup.run.compose import configuration
from mixup.training.device import set_up_device
if sys.argv[1] == "set up":
    set_up_device(torch.device("cpu"), configuration([]).trainer)
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


@pytest.fixture
def set_back():
    yield
    set_up_device(torch.device("cpu"), configuration([]).trainer)


@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_precision_and_determinism_are_what_they_are_called(precision, deterministic, set_back, monkeypatch):
    """What torch is told; what a GPU then computes is tested in tests/gpu."""
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    trainer = configuration([f"trainer.precision={precision}", f"trainer.deterministic={deterministic}"]).trainer
    set_up_device(torch.device("cuda"), trainer)
    backends = torch.backends
    assert backends.cudnn.allow_tf32 == backends.cuda.matmul.allow_tf32 == (precision == "tf32")
    assert backends.cudnn.benchmark == (not deterministic)
    assert torch.are_deterministic_algorithms_enabled() == deterministic
    assert ("CUBLAS_WORKSPACE_CONFIG" in os.environ) == deterministic


def test_a_cpu_has_no_tf32(cpu):
    with pytest.raises(UserError, match=r"only a GPU computes in it; use trainer\.precision=float32"):
        require_precision(configuration(["trainer.precision=tf32"]).trainer, cpu)


@pytest.mark.parametrize(
    ("precision", "capability", "slow"),
    [("bfloat16", "AVX2", True), ("bfloat16", "AVX512", False), ("float32", "AVX2", False)],
)
def test_a_precision_that_a_cpu_emulates_is_said(precision, capability, slow, cpu, monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    said = slow_precision(configuration([f"trainer.precision={precision}"]).trainer, cpu)
    assert ("trainer.precision=float32" in said) if slow else said is None


def test_training_does_not_import_torchs_compiler(command, tmp_path):
    """Which would take a process as long as the import of torch again."""
    run = f"sys.argv = ['train.py', 'trainer.epochs=1', 'optim.milestones=[]', 'runs_dir={tmp_path}']"
    told = "print(bool({'torch._dynamo', 'sympy'} & set(sys.modules)))"
    script = f"import runpy, sys; {run}; runpy.run_path('train.py')['main'](); {told}"
    done = command("-c", script)
    assert done.stdout.split()[-1] == "False", done.stdout + done.stderr
