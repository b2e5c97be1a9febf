"""What `eval.py` does: measures finished runs, prints the numbers and draws their pictures."""

import os
from pathlib import Path

from mixup.commands.messages import one_message
from mixup.errors import UserError, check
from mixup.evaluation.measurements import Values, finished_record, read_measurement, run_name
from mixup.evaluation.settings import eval_config


@one_message(
    stopped="stopped; the measurement in progress was not written", remedy="restore what is missing, or train the run again"
)
def evaluate(arguments: list[str], *, usage: str) -> int:
    """`eval.py`: returns 0, 1 if the test error is not the record's, 2 for a mistake in the request."""
    if not arguments or {"-h", "--help"} & set(arguments):
        print(usage.strip(), flush=True)
        return 0 if arguments else 2
    settings = eval_config([expanded(word) for word in arguments])
    check("pairs", settings.pairs, settings.pairs <= 10**9, "at most a billion")
    from mixup.evaluation.printed import report

    agrees = report(settings)
    for picture in draw_measurements(Path(settings.run), Path(settings.against) if settings.against else None):
        print(f"written: {picture}", flush=True)
    return 0 if agrees else 1


def expanded(word: str) -> str:
    """A setting with the home for `~`, which shells leave alone behind an equals sign. UserError for a flag."""
    key, equals, value = word.partition("=")
    if word.startswith("-"):
        raise UserError(f"{word}: write key=value, without hyphens, as {key.lstrip('-')}={value or 'VALUE'}")
    return f"{key}{equals}{os.path.expanduser(value)}"


def draw_measurements(folder: Path, against: Path | None = None) -> list[Path]:
    """Draws card.json, attacks.json and between.json of a run, and those of fewer examples or pairs beside them, if their
    pictures are absent or older; returns the pictures.

    against: a second run that between.png shows, too, and whose card-against-*.json in `folder` is drawn.
    """
    kinds = ("card", "attacks", "between")
    names = [
        file.stem for kind in kinds for pattern in ("", "-[0-9]*") for file in sorted(folder.glob(f"{kind}{pattern}.json"))
    ]
    names += [f"card-against-{against.resolve().name}"] if against else []
    pictures = []
    for file, picture in ((folder / f"{name}.json", folder / f"{name}.png") for name in names):
        fresh = picture.exists() and file.exists() and picture.stat().st_mtime_ns >= file.stat().st_mtime_ns
        if not fresh and (values := read_measurement(folder, file.name)) is not None:
            draw(picture, folder, values, against)
            pictures.append(picture)
    return pictures


def draw(picture: Path, folder: Path, values: Values, against: Path | None) -> None:
    """Draws one measurement of the run in `folder`, and with it that of the second run."""
    from mixup.figures.pictures import draw_attacks, draw_between, draw_card
    from mixup.ledger.figure2 import read_figure2

    runs = [(run_name(folder), finished_record(folder)["alpha"], values)]
    kind = picture.stem.partition("-")[0]
    second = values.get("against")
    if kind == "between" and against is not None and against.resolve() != folder.resolve():
        second = read_measurement(against, f"{picture.stem}.json") or read_measurement(against, "between.json")
    if against is not None and second is not None:
        runs.append((run_name(against), finished_record(against)["alpha"], second))
    if kind == "attacks":
        draw_attacks(picture, run_name(folder), values["results"])
    elif kind == "between":
        draw_between(picture, runs, read_figure2())
    else:
        draw_card(picture, runs)
