"""What `scripts/benchmark.py` does: measures one thing, keeps the numbers in results/benchmarks, writes docs/speed.md
and docs/scale.md."""

import argparse
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from mixup.benchmark import ratios, scale
from mixup.benchmark.loader import loader
from mixup.benchmark.machine import copy_gigabytes, describe
from mixup.benchmark.processes import processes
from mixup.benchmark.throughput import NETWORKS, ON_A_CPU, share_of_peak, throughput
from mixup.benchmark.turns import Row
from mixup.commands.messages import one_message
from mixup.errors import check_choice
from mixup.pages.build import render
from mixup.run.compose import configuration
from mixup.run.files import write_atomic, write_json
from mixup.run.places import RESULTS, ROOT
from mixup.training.device import choose_device
from mixup.training.distributed import Group

MEASURED = RESULTS / "benchmarks"

Options = argparse.Namespace


@one_message(stopped="stopped; what was measured is kept")
def main(arguments: Sequence[str], description: str) -> int:
    """Returns the exit status: 0 done, 2 a mistake in the request."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=[*BENCHMARKS, "page"])
    parser.add_argument("overrides", nargs="*", help="settings of train.yaml")
    parser.add_argument("--rounds", type=int, default=15, help="turns of each contestant (default 15)")
    parser.add_argument("--workers", type=int, default=2, help="worker processes of loaders (default 2)")
    parser.add_argument("--network", action="append", metavar="NAME", help='such as "PreAct ResNet-18"; or all')
    parser.add_argument("--compiled", action="append", default=[], metavar="NAME", help="compiled, too; on a GPU")
    parser.add_argument("--only", default="", metavar="FORM", help='of throughput, such as "captured, bfloat16" or tf32')
    parser.add_argument("--out", type=Path, default=MEASURED, help="default results/benchmarks")
    options = parser.parse_args(arguments)
    for name in (options.network or []) if options.network != ["all"] else []:
        check_choice("--network", name, NETWORKS)
    if options.what != "page":
        measure(options)
    if options.out == MEASURED:
        write_pages()
    return 0


def measure(options: Options) -> None:
    """Measures, prints and keeps row by row, in the file of this device, beside what else was measured there."""
    device = choose_device(configuration(options.overrides).trainer.device, Group())
    machine, order = describe(device), {name: place for place, name in enumerate(NETWORKS)}
    file = options.out / f"{re.sub(r'[^a-z0-9]+', '-', machine['device'].lower()).strip('-')}.json"
    facts = {**{key: machine[key] for key in ("commit", "dirty", "torch")}, "overrides": options.overrides}
    facts["threads"] = torch.get_num_threads()
    known = json.loads(file.read_text()) if file.exists() else {}
    if "machine" not in known:
        known["machine"] = {**machine, "copy_gigabytes_per_second": copy_gigabytes(device)}
    file.parent.mkdir(parents=True, exist_ok=True)
    for row in BENCHMARKS[options.what](options):
        print(line_of(row), flush=True)
        rows = {identity(old): old for old in known.get(options.what, [])} | {identity(row): {**facts, **row}}
        known[options.what] = sorted(rows.values(), key=lambda row: order.get(row["subject"], 0))
        write_json(file, known)


def identity(row: Row) -> tuple[str, ...]:
    """What a row says of what: one that is measured again replaces the old."""
    return tuple(str(row[key]) for key in ("subject", "form", "precision", "above", "below") if key in row)


def names_of(options: Options, default: Sequence[str]) -> list[str]:
    return list(NETWORKS) if options.network == ["all"] else options.network or list(default)


def of_networks(function: Callable[..., Iterator[Row]], *default: str, **more: str) -> Callable[[Options], Iterator[Row]]:
    """A benchmark of some networks. more: arguments by the name of the option that gives them."""

    def run(options: Options) -> Iterator[Row]:
        given = {name: getattr(options, option) for name, option in more.items()}
        return function(names_of(options, default), options.overrides, **given)

    return run


BENCHMARKS: dict[str, Callable[[Options], Iterator[Row]]] = {
    "throughput": of_networks(throughput, *ON_A_CPU, rounds="rounds", workers="workers", compiled="compiled", only="only"),
    "floor": of_networks(ratios.floor, *ON_A_CPU, rounds="rounds"),
    "mixing": of_networks(ratios.mixing, "PreAct ResNet-18", "LeNet, digits", rounds="rounds"),
    "pipeline": of_networks(ratios.pipeline, "PreAct ResNet-18", rounds="rounds", workers="workers"),
    "operations": of_networks(ratios.operations, "PreAct ResNet-18"),
    "processes": of_networks(processes, "PreAct ResNet-18", "LeNet, speech", rounds="rounds"),
    "loader": lambda options: loader(options.overrides, options.rounds, options.workers),
    "sweep": lambda options: ratios.sweep(options.overrides, options.rounds),
    "startup": lambda options: ratios.startup(options.overrides, options.rounds),
}


def line_of(row: Row) -> str:
    """A row in words."""
    if "operations" in row:
        return f"{row['subject']}, {row['precision']}: {row['operations']} operations, {row['bare']} of the network alone"
    if "ratio" in row:
        return f"{row['subject']}: {row['above']} over {row['below']}: {spread(row['ratio'], '{:.3f}')}"
    speed = row["images_per_second"]
    text = f"{spread(speed, '{:,.0f}')} images/s, {share_of_peak(row):.0f} % of the peak" if speed else "out of memory"
    return f"{row['subject']}, batch {row['batch_size']}, {row['form']}: {text}"


def spread(values: dict[str, Any], number: str) -> str:
    """`1.02 (1.01 to 1.04)`: the median, and the middle half of the rounds."""
    return "{} ({} to {})".format(*(number.format(values[key]) for key in ("median", "low", "high")))


def machines() -> dict[str, Any]:
    """What was measured, by the name of its file."""
    return {file.name: json.loads(file.read_text()) for file in sorted(MEASURED.glob("*.json"))}


def page() -> str:
    """docs/speed.md, from the files in results/benchmarks."""
    return render("speed.j2", "markdown", machines=machines().values(), spread=spread, share_of_peak=share_of_peak)


def scale_page() -> str:
    """docs/scale.md, from the grids of the paper's tables and what was measured on one H100."""
    return render("scale.j2", "markdown", scale=scale, machines=machines())


def write_pages() -> None:
    write_atomic(ROOT / "docs" / "speed.md", page().encode())
    write_atomic(ROOT / "docs" / "scale.md", scale_page().encode())
