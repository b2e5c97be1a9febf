"""A SLURM of one machine, on loopback and in a folder of its own: munged, slurmctld and slurmd, without accounting."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scancel", "squeue", "scontrol")
SECONDS_TO_START = 30.0
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
JobRequeue=1
KillWait=20
MinJobAge=60
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=small Nodes={host} Default=YES MaxTime=60 State=UP
"""


def why_not() -> str:
    """Why there can be no SLURM here; empty where it can be tried."""
    missing = [name for name in PROGRAMS if shutil.which(name, path=path()) is None]
    if missing:
        return f"needs {', '.join(missing)}: on Debian, apt-get install slurm-wlm munge"
    return "" if os.geteuid() == 0 else "needs root, to start slurmd"


def path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextlib.contextmanager
def slurm(folder: Path, *, cpus: int = 2) -> Iterator[dict[str, str]]:
    """Inside, a SLURM serves; yields the variables of a process that uses it. RuntimeError where it does not start."""
    controller, daemon = free_ports(2)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    host = socket.gethostname().partition(".")[0]
    values = {"host": host, "controller": controller, "daemon": daemon, "folder": folder, "cpus": cpus}
    (folder / "slurm.conf").write_text(CONFIGURATION.format(**values))
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    environ = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf"), "PATH": path()}
    files = [f"--{name}={folder}/munge.{name.partition('-')[0]}" for name in ("socket", "pid-file", "log-file", "seed-file")]
    munged = ["munged", "--foreground", "--force", f"--key-file={key}", *files]
    started: list[subprocess.Popen[bytes]] = []
    try:
        with open(folder / "output", "wb") as output:
            for words in (munged, ["slurmctld", "-D"], ["slurmd", "-D", "-N", host]):
                started.append(subprocess.Popen(words, env=environ, stdout=output, stderr=output))
                time.sleep(0.5)
        wait_for_node(environ, folder)
        yield environ
    finally:
        end_jobs(environ)
        for process in reversed(started):
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def end_jobs(environ: dict[str, str]) -> None:
    """Kills what runs and empties the queue."""
    for words in (["scancel", "--full", "--signal=KILL", "--user=root"], ["scancel", "--user=root"]):
        subprocess.run(words, env=environ, check=False, capture_output=True)
    until = time.monotonic() + SECONDS_TO_START
    while subprocess.run(["squeue", "--noheader"], env=environ, capture_output=True, check=False).stdout:
        if time.monotonic() > until:
            break
        time.sleep(0.3)


def wait_for_node(environ: dict[str, str], folder: Path) -> None:
    until = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < until:
        words = ["sinfo", "--noheader", "--format=%T"]
        state = subprocess.run(words, env=environ, capture_output=True, text=True, check=False)
        if state.stdout.strip() == "idle":
            return
        time.sleep(0.3)
    raise RuntimeError(f"SLURM does not start: {(folder / 'output').read_text()[-2000:]}")
