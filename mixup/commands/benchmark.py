"""What `scripts/benchmark.py` does: measures one thing, and keeps the numbers in results/benchmarks/<device>.json."""

import argparse
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mixup.benchmark.machine import copy_gigabytes, describe
from mixup.benchmark.throughput import NETWORKS, ON_A_CPU, throughput
from mixup.commands.messages import one_message
from mixup.run.compose import configuration
from mixup.run.files import write_json
from mixup.training.device import choose_device
from mixup.training.distributed import Group

RESULTS = Path(__file__).resolve().parents[2] / "results" / "benchmarks"

Options = argparse.Namespace


@one_message(stopped="stopped; what was measured is kept", remedy="repair it and start again")
def main(arguments: Sequence[str], description: str) -> int:
    """Returns the exit status: 0 done, 2 a mistake in the request."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=list(BENCHMARKS))
    parser.add_argument("overrides", nargs="*", help="settings of train.yaml")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each contestant (default 7)")
    parser.add_argument("--workers", type=int, default=2, help="worker processes of others' loaders (default 2)")
    parser.add_argument("--network", action="append", metavar="NAME", help="of throughput; all for every one of the paper")
    parser.add_argument("--compiled", action="append", default=[], metavar="NAME", help="compiled, too; on a GPU")
    parser.add_argument("--out", type=Path, default=RESULTS, help="default results/benchmarks")
    options = parser.parse_args(arguments)
    BENCHMARKS[options.what](options)
    return 0


def measure_throughput(options: Options) -> None:
    names = options.network or list(ON_A_CPU)
    names = list(NETWORKS) if names == ["all"] else names
    rows: list[dict[str, Any]] = []
    settings = {"rounds": options.rounds, "workers": options.workers, "compiled": options.compiled}
    for row in throughput(names, options.overrides, **settings):
        rows.append(row)
        text, speed = "out of memory", row["images_per_second"]
        if speed:
            share = 100 * speed["median"] * row["gflops_per_image"] / 1e3 / row["peak_tflops"]
            spread = f"{speed['low']:,.0f} to {speed['high']:,.0f}"
            text = f"{speed['median']:>10,.0f} images/s ({spread}), {share:.0f} % of the peak"
        print(f"{row['network']:<18} {row['batch_size']:>4} {row['form']:<32} {text}", flush=True)
        keep("throughput", rows, options)


def keep(what: str, measured: Any, options: Options) -> None:
    """Puts one measurement into the file of this device, beside what else was measured there."""
    device = choose_device(configuration(options.overrides).trainer.device, Group())
    machine = describe(device)
    file = options.out / f"{re.sub(r'[^a-z0-9]+', '-', machine['device'].lower()).strip('-')}.json"
    known = json.loads(file.read_text()) if file.exists() else {}
    known["machine"] = known.get("machine") or {**machine, "copy_gigabytes_per_second": copy_gigabytes(device)}
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, {**known, what: {"commit": machine["commit"], "torch": machine["torch"], "measured": measured}})


BENCHMARKS: dict[str, Callable[[Options], None]] = {"throughput": measure_throughput}
