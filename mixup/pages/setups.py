"""The page on the set-ups behind table 4, made of `results/table4_setup.csv`."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from mixup.ledger.effects import clarity_of
from mixup.ledger.inference import LEVEL, Paired
from mixup.ledger.paper import Experiment
from mixup.ledger.setups import NAME, SCALINGS, Choice, Setup, against_erm, printed

MOST = 12  # set-ups that are listed


def words(choice: Choice) -> str:
    """A set-up in words."""
    scaling, share, split, shuffle, init = choice
    return ", ".join(
        [
            SCALINGS[scaling],
            f"{100 * float(share):g} % {'drawn' if split == 'random' else 'from the top of the file'}",
            *([] if shuffle == "true" else ["not shuffled"]),
            *(["Glorot's weights"] if init else []),
        ]
    )


def page_values(about: Mapping[str, Any], setups: Sequence[Setup], paper: Experiment) -> dict[str, Any]:
    """What the template shows."""
    numbers, pairs = printed(paper, "erm"), against_erm(setups)
    tried = {name: [one for one in setups if one.alpha == 0 and one.data == name] for name in numbers}
    fitting = {name: {one.choice for one in tried[name] if one.fits(number)} for name, (_, number) in numbers.items()}
    everywhere = set.intersection(*({one.choice for one in same} for same in tried.values()))
    joint = ranked(fitting, everywhere)
    most = max((len(names) for _, names in joint), default=0)
    best = [(choice, names) for choice, names in joint if len(names) == most and most]
    return {
        "name": NAME,
        "about": about,
        "outcome": outcome(numbers, fitting, len(everywhere), most, pairs),
        "tables": [table_of(*numbers[name], tried[name], fitting[name]) for name in numbers],
        "joint": f"{len(best)} of {len(everywhere)} set-ups fit {most} of {len(numbers)} tables, and none fits more.",
        "best": [{"words": words(one), "fits": ", ".join(numbers[name][0] for name in names)} for one, names in best[:MOST]],
        "pairs": len(pairs),
        "mixed": [mixed_of(name, *values, pairs) for name, values in printed(paper, "mixup").items()],
    }


def outcome(
    numbers: Mapping[str, tuple[str, float]],
    fitting: Mapping[str, set[Choice]],
    tried: int,
    most: int,
    pairs: Sequence[tuple[Setup, Paired]],
) -> str:
    """The page in three sentences. tried: set-ups on all tables. most: tables that one set-up fits."""
    counts = ", ".join(f"{title} {len(fitting[name])}" for name, (title, _) in numbers.items())
    sentences = [
        "The paper states neither how its six tables are divided and scaled, nor initial weights, order, alpha or repeats.",
        f"Of {tried} set-ups so many have its ERM error within the scatter of one run: {counts}; none has more than {most} "
        f"of the {len(numbers)}.",
    ]
    if pairs:
        clear = [clarity_of(pair.interval) for _, pair in pairs if pair.interval]
        better, worse = clear.count("clearly as claimed"), clear.count("clearly opposite")
        sentences.append(
            f"mixup, tried in {len({one.choice for one, _ in pairs})} of them, is clearly better than ERM in {better} and "
            f"clearly worse in {worse} of {len(pairs):,} comparisons, of which chance alone makes some "
            f"{(1 - LEVEL) * len(pairs):.0f} clear."
        )
    return " ".join(sentences)


def ranked(fitting: Mapping[str, set[Choice]], choices: set[Choice]) -> list[tuple[Choice, list[str]]]:
    """Each set-up that was tried on all tables, with those that it fits; the most first."""
    fits = [(choice, [name for name, fitted in fitting.items() if choice in fitted]) for choice in sorted(choices)]
    return sorted(fits, key=lambda one: -len(one[1]))


def table_of(title: str, number: float, tried: Sequence[Setup], fitting: set[Choice]) -> dict[str, Any]:
    """A line of the first table."""
    nearest = min(tried, key=lambda one: abs(one.mean - number), default=None)
    return {
        "title": title,
        "paper": f"{number:.1f}",
        "tried": len(tried),
        "fits": len(fitting),
        "by_value": {scaling: sum(choice[0] == scaling for choice in fitting) for scaling in SCALINGS},
        "nearest": f"{nearest.mean:.1f}: {words(nearest.choice)}" if nearest else "-",
    }


def mixed_of(name: str, title: str, number: float, pairs: Sequence[tuple[Setup, Paired]]) -> dict[str, Any]:
    """A line of the table of mixup's differences."""
    ours = [pair.interval for one, pair in pairs if one.data == name and pair.interval]
    clarities = [clarity_of(one) for one in ours]
    return {
        "title": title,
        "paper": f"{number:.1f}",
        "pairs": len(ours),
        "lower": clarities.count("clearly as claimed"),
        "higher": clarities.count("clearly opposite"),
        "unclear": clarities.count("cannot tell"),
        "median": f"{median(one.mean for one in ours):+.2f}" if ours else "-",
    }
