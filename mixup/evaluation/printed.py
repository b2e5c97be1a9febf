"""What `eval.py` prints and leaves of a finished run: its report card, its errors under attack, or figure 2 of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mixup.evaluation.attack_errors import FILE as ATTACKS_FILE
from mixup.evaluation.attack_errors import measure_attacks
from mixup.evaluation.compare import Difference
from mixup.evaluation.figure2 import FILE as BETWEEN_FILE
from mixup.evaluation.figure2 import PAIRS, measure_between
from mixup.evaluation.finished_run import FinishedRun, open_finished_run, require_same_test_set
from mixup.evaluation.report_card import Card, make_card
from mixup.evaluation.settings import ATTACKS, EvalConfig
from mixup.figures.pictures import draw_attacks, draw_between
from mixup.ledger.paper import read_figure2

WIDTH = 118  # of a table
SHOWN_LAMS = ("0", "0.25", "0.5")  # in the card's table; its JSON has all 21


def report(wanted: EvalConfig) -> bool:
    """Measures what is asked for; returns False where the test error is not exactly the record's."""
    run = open_finished_run(Path(wanted.run), root=wanted.root, device=wanted.device)
    if wanted.attack:
        report_attacks(run, second(wanted, run, "source") or run, wanted)
        return True
    other = second(wanted, run, "against")
    if wanted.between:
        report_between(run, other, pairs=wanted.pairs or PAIRS)
        return True
    same = agrees_with_record(run)
    print_card(*make_card(run, other, examples=wanted.examples, pairs=wanted.pairs or PAIRS))
    return same


def second(wanted: EvalConfig, run: FinishedRun, setting: str) -> FinishedRun | None:
    """The other run that is named, which has to have the same test set; the run itself where that is named."""
    named = getattr(wanted, setting)
    if named is None:
        return None
    if Path(named).resolve() == run.folder.resolve():
        return run
    other = open_finished_run(Path(named), root=wanted.root, device=wanted.device, like=run, setting=setting)
    require_same_test_set(run, other, setting=setting)
    return other


def agrees_with_record(run: FinishedRun) -> bool:
    """Says whether the test error, evaluated again, is exactly what the record has."""
    recorded = run.record["test"]["top1_error"]["last"]
    same = run.tested[0]["top1_error"] == recorded
    if same:
        print(f"the test error is the record's, exactly: {recorded} %", flush=True)
    else:
        print(
            f"the test error differs from the record's {recorded} %, which was measured on {run.record['device']}",
            flush=True,
        )
    return same


def show(names: Sequence[str], table: Table, note: str, files: Sequence[Path]) -> None:
    """The runs' names, which are too long for a table, the table, what it is of, and where the rest is."""
    print("", *names, sep="\n", flush=True)
    Console(width=WIDTH, highlight=False).print(table)
    print(note, *(f"written: {file}" for file in files), sep="\n", flush=True)


# -- the card ------------------------------------------------------------------------------------------------------------


def print_card(cards: Sequence[Card], differences: dict[str, Difference], files: Sequence[Path]) -> None:
    """A row a measure; of two runs both columns, and the difference with its interval."""
    card, run = cards[0], cards[0].run
    letters = "AB" if len(cards) > 1 else " "
    names = [f"{letter}: {one.run.name}" if len(cards) > 1 else one.run.name for letter, one in zip(letters, cards)]
    table = Table()
    table.add_column(f"{run.record['data']['provenance']}, {card.test_count:,} test examples")
    for column in (*letters, *(("B - A", "95 % interval") if len(cards) > 1 else ())):
        table.add_column(column, justify="right")
    group = ""
    for name, measure in card.measures.items():
        if name.startswith("attacks/") and name.endswith("/0"):
            continue  # no attack
        if name.startswith("between/") and name.rpartition("/")[2] not in SHOWN_LAMS:
            continue
        if name.partition("/")[0] != group and "/" in name:
            table.add_section()
            group = name.partition("/")[0]
        found = [one.measures.get(name) for one in cards]
        places = 2 if "%" in measure.title else 4
        cells = ["-" if one is None else f"{one.value:.{places}f}" for one in found]
        if apart := differences.get(name):
            cells += [f"{apart.mean:+.{places}f}", f"{apart.low:+.{places}f} to {apart.high:+.{places}f}"]
        table.add_row(measure.title, *cells)
    show(names, table, note(card), files)


def note(card: Card) -> str:
    """How many examples the costly measures are of, and what is left out."""
    pairs = f"between training points: {card.pairs:,} pairs"
    if card.run.takes_images:
        return f"corruptions and attacks: {card.examples:,} of the test examples; {pairs}"
    return f"corruptions and attacks are left out: they need images, which {card.run.config.data.name} has not; {pairs}"


# -- attacks -------------------------------------------------------------------------------------------------------------


def report_attacks(run: FinishedRun, source: FinishedRun, wanted: EvalConfig) -> None:
    """Table 3 of one run: prints what was asked for, draws all that attacks.json holds. UserError without images."""
    cells = [(name, eps) for name in wanted.attack for eps in wanted.eps]
    (found,) = measure_attacks(source, [run], cells, examples=wanted.examples)
    hash_, made_on = source.record["hash"], "self" if source is run else source.record["label"]
    asked = [
        result
        for result in found["results"]
        if (result["attack"], result["eps"]) in cells and (result["source_hash"], result["source"]) == (hash_, made_on)
    ]
    where = "the run itself: white box" if made_on == "self" else f"{source.name}: black box"
    table = Table()
    for column in ("attack", "epsilon", "steps", "top-1 error %", "top-5 error %"):
        table.add_column(column, justify="left" if column == "attack" else "right")
    for result in asked:
        errors = [f"{result[f'top{top}_error']:.2f}" for top in (1, 5)]
        table.add_row(ATTACKS[result["attack"]], f"{result['eps']:g}", str(result["steps"]), *errors)
    picture = run.folder / "attacks.png"
    draw_attacks(picture, run.name, found["results"])
    count = f"{found['examples']:,} of {len(run.data.test):,} test examples"
    show(
        [run.name, f"attacked by examples made on {where}"],
        table,
        f"{run.record['data']['provenance']}, {count}; epsilon in grey levels of 255",
        [run.folder / ATTACKS_FILE, picture],
    )


# -- figure 2 ------------------------------------------------------------------------------------------------------------


def report_between(run: FinishedRun, other: FinishedRun | None, *, pairs: int) -> None:
    """Figure 2 of one run or of two: each one's JSON, and one picture in the first one's directory."""
    runs = [run] if other is None or other is run else [run, other]
    found = [measure_between(one, pairs=pairs) for one in runs]
    table = Table()
    table.add_column("lambda", justify="right")
    for one in runs:
        method = f"mixup {one.config.mixup.alpha:g}" if one.config.mixup.alpha else "ERM"
        table.add_column(f"misses %\n{method}", justify="right")
        table.add_column(f"gradient norm\n{method}", justify="right")
    for place, lam in enumerate(found[0]["lam"]):
        cells = []
        for values in found:
            cells.append(f"{values['miss'][place]:.2f} ± {values['miss_error'][place]:.2f}")
            cells.append(f"{values['gradient_norm'][place]:.4f} ± {values['gradient_error'][place]:.4f}")
        table.add_row(f"{lam:.2f}", *cells)
    picture = run.folder / "between.png"
    draw_between(picture, [(one.name, one.config.mixup.alpha, values) for one, values in zip(runs, found)], read_figure2())
    what = f"{pairs:,} pairs of training examples, mean ± standard error"
    show([one.name for one in runs], table, what, [*(one.folder / BETWEEN_FILE for one in runs), picture])
