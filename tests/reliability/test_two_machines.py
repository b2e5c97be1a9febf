"""One run on two machines, here two network namespaces that a veth pair joins: each dies once, and the run goes on."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mixup.run import records
from tests.conftest import ROOT
from tests.reliability.test_kills import RUN, TORCHRUN, newest
from tests.reliability.test_resume import assert_equal
from tests.training.test_train import assert_same_run
from tests.waiting import wait_until

PORT, SECONDS = 29500, 600
# A name of its own and a table of names, as in Debian's /etc/hosts: the machine's own name is an address of the loopback.
BOOT = 'mount --bind "$1" /etc/hosts && mount --bind "$2" /etc/nsswitch.conf && hostname "$3" && shift 3 && exec "$@"'


def ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout


@dataclass
class Machine:
    """A network namespace. folder: its files. logs: what each start of torchrun has printed."""

    name: str
    folder: Path
    logs: list[Path] = field(default_factory=list)

    def start(self, first: Machine, *arguments: str) -> subprocess.Popen[bytes]:
        """torchrun, as one types it on either machine."""
        self.logs.append(self.folder / f"{self.name}-{len(self.logs)}.log")
        torchrun = (
            *(sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1", "--max-restarts=3"),
            *("--rdzv-backend=c10d", f"--rdzv-endpoint={first.name}:{PORT}", *arguments),
        )
        booted = ("unshare", "--mount", "--uts", "sh", "-c", BOOT, "sh", self.folder / self.name, self.folder / "nsswitch")
        with open(self.logs[-1], "wb") as log:
            return subprocess.Popen(
                [*booted, self.name, "ip", "netns", "exec", self.name, *torchrun],
                cwd=ROOT,
                env={
                    **os.environ,
                    **{"WANDB_MODE": "disabled", "OMP_NUM_THREADS": "1"},
                    **{"GLOO_SOCKET_IFNAME": "lan", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"},
                },
                stdout=log,
                stderr=log,
            )

    def die(self) -> None:
        """As of a power failure: nobody is told."""
        ip("-n", self.name, "link", "set", "lan", "down")
        self.kill()

    def kill(self) -> None:
        for process in ip("netns", "pids", self.name).split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(process), signal.SIGKILL)

    def plug_in(self) -> None:
        ip("-n", self.name, "link", "set", "lan", "up")

    def said(self) -> str:
        return "\n".join(log.read_text() for log in self.logs)


@pytest.fixture
def machines(tmp_path) -> Iterator[list[Machine]]:
    if missing := [program for program in ("ip", "unshare") if shutil.which(program) is None]:
        pytest.skip(f"needs {' and '.join(missing)}")
    found = [Machine(f"mixup-{os.getpid()}-{letter}", tmp_path) for letter in "ab"]
    addresses = {machine.name: f"10.77.0.{number}" for number, machine in enumerate(found, 1)}
    (tmp_path / "nsswitch").write_text("hosts: files\n")
    try:
        try:
            for machine in found:
                ip("netns", "add", machine.name)
            one, other = addresses
            ip("link", "add", "lan", "netns", one, "type", "veth", "peer", "name", "lan", "netns", other)
            for machine in found:
                ip("-n", machine.name, "address", "add", f"{addresses[machine.name]}/24", "dev", "lan")
                ip("-n", machine.name, "link", "set", "lo", "up")
                machine.plug_in()
                ip("netns", "exec", machine.name, "unshare", "--mount", "--uts", "true")
                own = addresses | {machine.name: "127.0.1.1"}
                names = "".join(f"{address} {name}\n" for name, address in own.items())
                (tmp_path / machine.name).write_text(f"127.0.0.1 localhost\n{names}")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no network namespaces here: {error.stderr.strip()}")
        yield found
    finally:
        there = ip("netns", "list").split()
        for machine in found:
            if machine.name in there:
                machine.kill()
                ip("netns", "delete", machine.name)


@pytest.mark.long
@pytest.mark.timeout(4 * SECONDS)
def test_each_of_two_machines_dies_once_and_the_run_ends_as_on_one(machines, command, tmp_path):
    first, second = machines
    runs, undisturbed = tmp_path / "runs", tmp_path / "undisturbed"
    settings, rng = ("train.py", *RUN, f"runs_dir={runs}"), random.Random()
    early, late = rng.randrange(4, 16), rng.randrange(28, 40)
    alone = command(*TORCHRUN, *settings, timeout=SECONDS)
    assert alone.returncode == 0, alone.stderr
    runs.rename(undisturbed)

    running = [machine.start(first, *settings) for machine in machines]
    wait_until(lambda: newest(runs) >= early, SECONDS, running[0])
    second.die()
    running[1].wait()
    second.plug_in()
    # torchrun waits on the first machine: only what died is started again.
    running[1] = second.start(first, *settings)
    wait_until(lambda: newest(runs) >= late, SECONDS, running[0])
    # Without the first machine, where the ranks meet, torchrun ends on the other: both are started again.
    first.kill()
    for process in running:
        assert process.wait(SECONDS) != 0
    running = [machine.start(first, *settings) for machine in machines]
    assert [process.wait(SECONDS) for process in running] == [0, 0], second.said()

    assert "another process of this run has ended or cannot be reached" in first.said()
    (run,), (other,) = runs.glob("*/*/"), undisturbed.glob("*/*/")
    steps = [int(step) for step in re.findall(r"resumed at epoch \d+, step (\d+)", first.said())]
    assert len(steps) == 2, first.said()
    record = records.read_record(run)
    assert [segment["world_size"] for segment in record["segments"]] == [2, 2, 2]
    assert_same_run(other, run)
    assert_equal(records.read_record(other), record)
