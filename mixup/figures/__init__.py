"""All pictures of the project, in one style: figures of the committed evidence, of finished runs, and of the quick start.

`style` says how they look, `panels` is their toolkit, `sheets` groups and names what stands in one figure; the others draw.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from mixup.figures.curves import figure3b, learning_curves, noise_bars
from mixup.figures.differences import differences
from mixup.figures.evaluations import attacks, between, calibration, surfaces
from mixup.figures.forest import forest_picture
from mixup.figures.gan import gan_pictures
from mixup.figures.quickstart import quickstart_picture
from mixup.figures.setups import setup_pictures
from mixup.figures.sheets import Sheet, sheets
from mixup.figures.style import Picture
from mixup.ledger.cells import RUNS_OF
from mixup.ledger.comparable import Recipes
from mixup.ledger.effects import effects
from mixup.ledger.entries import Ledger, unfitted
from mixup.ledger.evidence import Evidence, read_evidence
from mixup.ledger.figure2 import read_figure2
from mixup.ledger.names import experiment_title, picture_order
from mixup.ledger.paper import PAPER, Experiment, read_paper
from mixup.ledger.setups import Setup, read_setups
from mixup.ledger.verdicts import build, checked

__all__ = ["WANTED", "Picture", "all_pictures", "missing", "write_figures"]

# Whose learning curves say nothing: what is measured otherwise, or compares many methods.
NO_CURVES = (
    *("figure2_between", "table3_adversarial", "table4_uci", "table5_ablation"),
    *("alpha_sweep", "semantics", "report_card"),
)
WANTED = (  # the starts of pictures' names; those of their experiments make the runs
    *("figure1_toy", "figure2_between", "figure3b_curve", "figure5_gan", "figure5_gan-modes", "table2_label_noise-bars"),
    *("table3_adversarial-attacks", "alpha_sweep-differences", "report_card-calibration"),
)
LONGEST_TITLE = 60  # letters
GENERATED = '<svg xmlns:xlink="http://www.w3.org/1999/xlink"'  # how a generated file starts


def all_pictures(
    evidence: Sequence[Evidence],
    paper: Mapping[str, Experiment],
    ledger: Ledger | None = None,
    setups: Sequence[Setup] = (),
) -> list[Picture]:
    """Every figure that the evidence is enough for, by experiment. ledger: of the same evidence, for the picture of all
    claims. setups: those of table 4."""
    figure2 = read_figure2()
    measured: dict[str | None, Callable[[Sheet], Iterable[Picture]]] = {
        None: lambda sheet: pictures_of(sheet, paper),
        "surface": lambda sheet: [surfaces(sheet)],
        "between": lambda sheet: [between(sheet, figure2)],
        "attacks": lambda sheet: [attacks(sheet, paper_of(sheet, paper))],
        "card": lambda sheet: [calibration(sheet)],
    }
    drawn = [(draw, sheet) for name, draw in measured.items() for sheet in sheets(evidence, paper, name)]
    pictures = [picture for draw, sheet in drawn for picture in draw(sheet)]
    pictures += setup_pictures(setups, paper["table4_uci"])
    if ledger and (seen := effects(ledger)):
        pictures.append(forest_picture(seen, ledger.papers))
    return sorted(pictures, key=lambda picture: picture_order(picture.name))


def pictures_of(sheet: Sheet, paper: Mapping[str, Experiment]) -> list[Picture]:
    """What is drawn of records and curves alone."""
    if sheet.experiment == "figure5_gan":
        return gan_pictures(sheet)
    if sheet.experiment == "quickstart":
        return [quickstart_picture(sheet)]
    if sheet.experiment == "figure1_toy":
        return []  # its error is 0 from the fifth epoch
    title = experiment_title(sheet.experiment, paper)
    content = title.rpartition(": ")[2]
    content = content if len(content) <= LONGEST_TITLE else content.partition(",")[0]
    fitted = unfitted(sheet.cells) is None
    pictures = (
        [learning_curves(sheet, f"Learning curves: {content}")] if fitted and sheet.experiment not in NO_CURVES else []
    )
    statistic = paper[sheet.experiment].statistic if sheet.experiment in paper else ""
    beside = paper_of(sheet, paper)
    pictures += noise_bars(sheet, beside) or differences(sheet, beside, statistic)
    if sheet.experiment == "figure3_cifar10" and beside:
        pictures += figure3b(sheet, paper["figure3b_curve"])
    return pictures


def paper_of(sheet: Sheet, paper: Mapping[str, Experiment]) -> Experiment | None:
    """The paper's numbers where they can be drawn beside the sheet's: at the paper's scale."""
    return paper.get(sheet.experiment) if sheet.scale == "paper" else None


def missing(pictures: Sequence[Picture]) -> dict[str, str]:
    """The wanted pictures that are not there, with the command for the runs that they need."""
    experiments = {name: name.partition("-")[0] for name in WANTED}
    for picture in pictures:
        experiments.pop(picture.name.rpartition("-")[0], None)
    return {name: f"python train.py -m experiment={RUNS_OF.get(made, made)}" for name, made in experiments.items()}


def write_figures(*, runs: Path, results: Path, recipes: Recipes | None = None, allow_dirty: bool = False) -> int:
    """Draws every figure of the evidence in `runs` into `results/figures`, and removes those that the evidence no longer
    makes. Prints what it does and what is missing. UserError for evidence that cannot be believed."""
    evidence, papers = checked(read_evidence(runs), allow_dirty=allow_dirty), read_paper(PAPER)
    ledger = build(papers, evidence, recipes) if recipes else None
    pictures = all_pictures(evidence, papers, ledger, read_setups(results)[1])
    folder = results / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    files = {folder / f"{picture.name}.svg": picture for picture in pictures}
    for file, picture in files.items():
        file.write_text(picture.file())
        print(f"wrote {file}")
    for file in sorted(set(folder.glob("*.svg")) - set(files)):
        if file.read_text().startswith(GENERATED):
            file.unlink()
            print(f"removed {file}: no evidence any more")
    for name, command in missing(pictures).items():
        print(f"missing: {name}: no evidence of its runs, which {command} makes")
    return 0
