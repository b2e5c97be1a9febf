"""The page of figure 5: how many modes each GAN covers. The paper has a picture of it, and no numbers."""

from __future__ import annotations

from collections.abc import Sequence

from mixup.ledger.cells import IGNORED, Cell
from mixup.ledger.inference import paired_difference, sign_test
from mixup.ledger.paper import Experiment
from mixup.pages.markdown import (
    MADE,
    MISSING,
    SOURCES,
    Link,
    cost,
    from_results,
    paired,
    probability,
    shown,
    sources,
    spread,
    table,
)

GAMES = {"paper": "the paper's formula", "unmixed": "generator unmixed", "author": "the author's code"}
NAMED = ("data.name", "mixup.alpha", "gan.game", "scale")  # by columns and headings
METHOD = ("mixup.alpha", "gan.game", "mixup.lam_per")
SCALES = {"paper": "The paper's networks", "cpu": "Smaller networks (scale=cpu): not comparable"}
LEGEND = (
    "After the last iteration, of 1,000 samples; mean ± standard deviation (number of seeds). A sample is good within 3 "
    "standard deviations of a mode; a mode is covered by a tenth of an equal share of the samples, all of them good. "
    "Slope: the mean norm of the gradient of the discriminator's logit at the samples. "
    "Difference: modes covered, minus ERM's of the same seed, with its 95 % interval; p: exact one-sided sign test that it "
    "covers more."
)


def page_gan(paper: Experiment, cells: Sequence[Cell], link: Link = from_results) -> str:
    """Markdown, a section a scale."""
    lines = [MADE, "", f"# {paper.title}", "", f"Section {paper.section}. {paper.note or ''}".strip(), ""]
    lines += ["Claims of the paper, in words alone and judged by no rule:", ""]
    lines += [*(f"* {claim.text}{'' if claim.verified else ' (unverified)'}" for claim in paper.claims), ""]
    lines += [*gan_tables(cells), LEGEND, ""]
    lines += [f"## {SOURCES}", "", *sources(cells, link), ""] if cells else []
    return "\n".join(lines).rstrip() + "\n"


def gan_tables(cells: Sequence[Cell]) -> list[str]:
    lines = []
    for scale, title in SCALES.items():
        found = [cell for cell in cells if cell.settings["scale"] == scale]
        lines += [f"## {title}", "", *(gan_rows(found) if found else ["No run has finished."]), ""]
    return lines


def gan_rows(cells: Sequence[Cell]) -> list[str]:
    """ERM before mixup, ring before grid."""
    keys = [key for key in cells[0].settings if key not in (*IGNORED, *NAMED)]
    telling = [key for key in keys if len({str(cell.settings[key]) for cell in cells}) > 1]
    ordered = sorted(
        cells,
        key=lambda cell: (cell.settings["data.name"] != "ring", *place(cell), *(str(cell.settings[k]) for k in telling)),
    )
    body = []
    for cell in ordered:
        modes = cell.values("test.modes", "last")
        erm = erm_game(cell, cells)
        pairs = paired_difference(modes, erm.values("test.modes", "last") if erm else {})
        p = probability(sign_test([-value for value in pairs.differences]).p) if pairs.seeds else MISSING
        body.append(
            [
                f"{cell.settings['data.name']} ({cell.first.record['data']['modes']})",
                method(cell),
                *(shown(key, cell.settings[key]) for key in telling),
                spread(list(modes.values()), 1),
                ", ".join(f"{value:.0f}" for value in modes.values()),
                spread(list(cell.values("test.good_share", "last").values()), 1),
                spread(list(cell.values("test.in_window", "last").values()), 1),
                spread(list(cell.values("test.slope", "last").values()), 1),
                paired(pairs, 1),
                p,
                cost(cell),
            ]
        )
    names = ["data (modes)", "method", *(key.rpartition(".")[2].replace("_", " ") for key in telling)]
    numbers = [
        "modes covered",
        "each seed",
        "good samples %",
        "in the picture %",
        "slope of d",
        "difference",
        "p",
        "one run ",
    ]
    return table([*names, *numbers], body, words=len(names))


def method(cell: Cell) -> str:
    """How the discriminator was trained."""
    alpha = cell.settings["mixup.alpha"]
    return f"mixup {alpha:g}, {GAMES[cell.settings['gan.game']]}" if alpha else "ERM"


def place(cell: Cell) -> tuple[bool, float, int]:
    return cell.settings["mixup.alpha"] > 0, cell.settings["mixup.alpha"], list(GAMES).index(cell.settings["gan.game"])


def erm_game(cell: Cell, cells: Sequence[Cell]) -> Cell | None:
    """The ERM game that has all else of this one; None for itself."""

    def rest(one: Cell) -> dict[str, object]:
        return {key: value for key, value in one.settings.items() if key not in (*IGNORED, *METHOD)}

    return next(
        (one for one in cells if one is not cell and not one.settings["mixup.alpha"] and rest(one) == rest(cell)), None
    )
