"""What `eval.py` prints of a finished run: its report card, its errors under attack, or figure 2 of it."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table

from mixup.errors import UserError
from mixup.evaluation.attacks import measure_attacks
from mixup.evaluation.between import measure_between
from mixup.evaluation.finished_run import FinishedRun, digest, open_finished_run
from mixup.evaluation.measurements import place_for
from mixup.evaluation.report_card import Card, Difference, make_card
from mixup.evaluation.settings import ATTACKS, EvalConfig
from mixup.run import records
from mixup.training.device import device_name

PRINTED_LAMS = ("0", "0.25", "0.5")  # the card's JSON has all 21


def report(settings: EvalConfig) -> bool:
    """Measures a run, writes the JSON and prints its tables; returns False if the test error is not the record's."""
    run = open_finished_run(Path(settings.run), root=settings.root, device=settings.device)
    if settings.attack:
        report_attacks(run, second_run(settings, run, "source") or run, settings)
        return True
    other = second_run(settings, run, "against")
    if settings.between:
        report_between([run] if other is None or other is run else [run, other], settings.pairs)
        return True
    recorded = run.record["test"]["top1_error"]["last"]
    means, measured_on = run.tested[0], f"the record's {recorded} %, which was measured on {run.record['device']}"
    error = means["top1_error"]
    same = records.agrees(run.record, error, count=int(means["count"]), device=device_name(run.device))
    word = f"is the record's, exactly: {recorded} %"
    if error != recorded:
        word = f"{error} % {'is, to the rounding of a GPU,' if same else 'differs from'} {measured_on}"
    print("the test error", word, flush=True)
    cards, differences, file = make_card(run, other, examples=settings.examples, pairs=settings.pairs)
    print_card(cards, differences, file)
    return same


def second_run(settings: EvalConfig, run: FinishedRun, setting: str) -> FinishedRun | None:
    """The run that `against` or `source` names, None without one. UserError unless its test set is that of `run`."""
    if getattr(settings, setting) is None:
        return None
    folder = Path(getattr(settings, setting))
    if folder.resolve() == run.folder.resolve():
        return run
    other = open_finished_run(folder, root=settings.root, device=settings.device, like=run, setting=setting)
    if run.data.test is not other.data.test and digest(run.data.test) != digest(other.data.test):
        here, there = (f"{each.config.data.name}, {len(each.data.test):,} examples" for each in (run, other))
        raise UserError(
            f"{setting}={folder} has another test set ({there}) than run={run.folder} ({here}): name two runs with "
            "equal data.name, data.test_size and data.seed"
        )
    return other


def print_table(headings: Sequence[str], table: Table, note: str, files: Sequence[Path]) -> None:
    """headings: the runs' names, which are too long for a column."""
    print("", *headings, sep="\n", flush=True)
    Console(width=118, highlight=False).print(table)
    print(note, *(f"written: {file}" for file in files), sep="\n", flush=True)


def numbers(*headings: str) -> list[Column]:
    return [Column(heading, justify="right") for heading in headings]


def print_card(cards: Sequence[Card], differences: dict[str, Difference], file: Path) -> None:
    """A row a measure; for two runs both columns, and the difference with its interval."""
    card, run, two = cards[0], cards[0].run, len(cards) > 1
    title = f"{run.record['data']['provenance']}, {card.values['test_count']:,} test examples"
    table = Table(title, *numbers(*(("A", "B", "B - A", "95 % interval") if two else (" ",))))
    for group, names in groupby(card.measures, key=lambda name: name.partition("/")[0] if "/" in name else ""):
        for name in names:
            setting = name.rpartition("/")[2]
            if (group == "attacks" and setting == "0") or (group == "between" and setting not in PRINTED_LAMS):
                continue  # epsilon 0 is no attack
            title = card.measures[name].title
            places = 2 if "%" in title else 4
            cells = [f"{each.measures[name].value:.{places}f}" if name in each.measures else "-" for each in cards]
            if difference := differences.get(name):
                low, high = f"{difference.low:+.{places}f}", f"{difference.high:+.{places}f}"
                cells += [f"{difference.mean:+.{places}f}", f"{low} to {high}"]
            table.add_row(title, *cells)
        table.add_section()
    headings = [f"{letter}: {each.run.name}" for letter, each in zip("AB", cards)] if two else [run.name]
    images = f": {card.values['examples']:,} of the test examples"
    if not run.takes_images:
        images = f" are left out: they need images, which {run.config.data.name} has not"
    note = f"corruptions and attacks{images}; between training points: {card.values['pairs']:,} pairs"
    print_table(headings, table, note, [file])


def report_attacks(run: FinishedRun, source: FinishedRun, settings: EvalConfig) -> None:
    """Table 3 of one run: measures and prints the errors under the requested attacks. UserError without images."""
    cells = [(name, eps) for name in settings.attack for eps in settings.eps]
    (values,) = measure_attacks(source, [run], cells, examples=settings.examples)
    made_on = (source.record["hash"], "self" if source is run else source.record["label"])
    table = Table("attack", *numbers("epsilon", "steps", "top-1 error %", "top-5 error %"))
    for result in values["results"]:
        if (result["source_hash"], result["source"]) == made_on and (result["attack"], result["eps"]) in cells:
            errors = [f"{result[f'top{top}_error']:.2f}" for top in (1, 5)]
            table.add_row(ATTACKS[result["attack"]], f"{result['eps']:g}", str(result["steps"]), *errors)
    box = "the run itself: white box" if source is run else f"{source.name}: black box"
    note = f"{run.record['data']['provenance']}, {values['examples']:,} of {len(run.data.test):,} test examples"
    note += "; epsilon in grey levels of 255"
    print_table(
        [run.name, f"attacked by examples made on {box}"],
        table,
        note,
        [place_for(run.folder, "attacks", examples=values["examples"])],
    )


def report_between(runs: Sequence[FinishedRun], pairs: int) -> None:
    """Figure 2 of one run or of two: measures and prints misses and gradient norms."""
    measured = [measure_between(run, pairs=pairs) for run in runs]
    methods = [f"mixup {run.config.mixup.alpha:g}" if run.config.mixup.alpha else "ERM" for run in runs]
    headings = [f"{measure}\n{method}" for method in methods for measure in ("misses %", "gradient norm")]
    table = Table(*numbers("lambda", *headings))
    for place, lam in enumerate(measured[0]["lam"]):
        cells = []
        for values in measured:
            cells.append(f"{values['miss'][place]:.2f} ± {values['miss_error'][place]:.2f}")
            cells.append(f"{values['gradient_norm'][place]:.4f} ± {values['gradient_error'][place]:.4f}")
        table.add_row(f"{lam:.2f}", *cells)
    note = f"{pairs:,} pairs of training examples, mean ± standard error"
    print_table([run.name for run in runs], table, note, [place_for(run.folder, "between", pairs=pairs) for run in runs])
