"""Writes what is generated from the evidence: `results/*.md`, the README's block, and `results/report.html`."""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from mixup.errors import UserError
from mixup.evaluation.doubts import doubts
from mixup.ledger.cells import Cell, experiment_of
from mixup.ledger.comparable import Recipes
from mixup.ledger.entries import Ledger
from mixup.ledger.evidence import Evidence, read_evidence
from mixup.ledger.names import MISSING, ROW_PARTS, experiment_title, has_small_form, picture_order, row_name, row_parts
from mixup.ledger.paper import PAPER, read_paper
from mixup.ledger.setups import NAME as SETUPS
from mixup.ledger.setups import read_setups
from mixup.ledger.verdicts import Planned, build, checked
from mixup.pages import costs, texts
from mixup.pages.runs import Differences, anchor, runs_json, summary
from mixup.pages.setups import page_values
from mixup.pages.tables import markdown_table, table_rows
from mixup.run.display import duration
from mixup.run.files import write_atomic

MADE = "<!-- Made by scripts/ledger.py from results/paper.yaml and results/runs: do not edit. -->"
SOURCES = "Where the numbers come from"  # the title of a page's last part
FOREST = "forest"  # the experiment of the picture of all effects
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"

Address = Callable[[Any], str]
"""An experiment -> the address of its page, or a run -> that of its record."""


def render(template: str, format: str, **values: Any) -> str:
    """format: markdown or html, the file of macros that says how headings, paragraphs, lists and tables look."""
    text = environment(format).get_template(template).render(format=format, made=MADE, sources_title=SOURCES, **values)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n" if format == "markdown" else text


def environment(format: str) -> Environment:
    """All that templates can use."""
    loader = FileSystemLoader(Path(__file__).parent / "templates")
    options: dict[str, Any] = {"undefined": StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
    templates = Environment(loader=loader, autoescape=format == "html", **options)
    templates.filters |= {"one_line": lambda text: " ".join(text.split()), "commit": texts.commit, "duration": duration}
    templates.filters |= {"markdown_table": markdown_table}
    templates.globals |= {"texts": texts, "costs": costs, "table_rows": table_rows, "anchor": anchor, "summary": summary}
    templates.globals |= {"row_name": row_name, "row_parts": row_parts, "ROW_PARTS": ROW_PARTS}
    templates.globals |= {"missing": MISSING}
    return templates


# -- pages ---------------------------------------------------------------------------------------------------------------


def page(ledger: Ledger, name: str, format: str, *, address: Address, record: Address, **more: Any) -> str:
    """One experiment. ledger: its part. more: the pictures and runs of the report."""
    about = {"name": name, "paper": ledger.papers.get(name), "title": experiment_title(name, ledger.papers)}
    parts = {"pictures": (), "runs": (), "doubts": attack_doubts(ledger.cells), "small": has_small_form(name), **more}
    return render("page.j2", format, ledger=ledger, page=address, record=record, **about, **parts)


def attack_doubts(cells: Sequence[Cell]) -> dict[str, Any]:
    """What contradicts how attacks work, run by run, and the fewest examples that a run was attacked with."""
    runs = [run for cell in cells for run in cell.runs if "attacks" in run.evaluations]
    attacks = [(run.record["label"], run.evaluations["attacks"]) for run in runs]
    phrases = [(label, doubt) for label, one in attacks for doubt in doubts(one["results"], one["examples"])]
    return {"phrases": phrases, "examples": min((one["examples"] for _, one in attacks), default=0)}


@dataclass(frozen=True)
class DrawnFigure:
    """A file of `results/figures`. name: without its ending. description: its title, which is its caption. says: what to see
    in it, what is seen, and why."""

    name: str
    description: str
    says: str

    @property
    def experiment(self) -> str:
        return self.name.partition("-")[0]


def drawn_figures(results: Path) -> list[DrawnFigure]:
    """Those that `scripts/ledger.py figures` has drawn, in `picture_order`."""
    files = sorted(results.glob("figures/*.svg"), key=lambda file: picture_order(file.stem))
    texts = {file.stem: file.read_text() for file in files}
    words = {name: re.search(r"<title>(.*?)</title>\s*<desc>(.*?)</desc>", text, re.S) for name, text in texts.items()}
    return [DrawnFigure(name, unescape(found[1]), unescape(found[2])) for name, found in words.items() if found]


def pages(ledger: Ledger, figures: Sequence[DrawnFigure] = ()) -> dict[str, str]:
    """The content of each Markdown file below `results`, by name."""
    files, by_experiment = {}, defaultdict[str, list[DrawnFigure]](list)
    for figure in figures:
        by_experiment[figure.experiment].append(figure)
    for name in ledger.experiments:
        if (part := ledger.of(name)).entries:
            record = "runs/{0.file.parent.name}/{0.file.name}".format
            drawn = {"pictures": by_experiment[name]}
            files[f"{name}.md"] = page(part, name, "markdown", address="{}.md".format, record=record, **drawn)
    index = render("index.j2", "markdown", ledger=ledger, page="{}.md".format, pictures=by_experiment[FOREST])
    return {**files, "README.md": index}


def with_block(readme: str, ledger: Ledger, figures: Sequence[DrawnFigure] = ()) -> str:
    """The README with its block written anew. UserError where the markers are not there, once each and in order."""
    if readme.count(BEGIN) != 1 or readme.count(END) != 1 or readme.index(BEGIN) > readme.index(END):
        raise UserError(f"README.md: put the lines {BEGIN} and {END} where the table of results belongs, once each")
    before, _, rest = readme.partition(BEGIN)
    forest = [figure for figure in figures if figure.experiment == FOREST]
    block = render("readme.j2", "markdown", ledger=ledger, pictures=forest)
    return f"{before}{BEGIN}\n{block}\n{END}{rest.partition(END)[2]}"


def write_tables(
    *, runs: Path, results: Path, check: bool, allow_dirty: bool, recipes: Recipes, planned: Planned | None = None
) -> int:
    """Writes `results/*.md` and the block of the README beside `results`. check: writes nothing; 1 where files would change.
    UserError for evidence that cannot be believed."""
    ledger = build(read_paper(PAPER), checked(read_evidence(runs), allow_dirty=allow_dirty), recipes, planned)
    figures = drawn_figures(results)
    files = {results / name: text for name, text in pages(ledger, figures).items()}
    about, setups = read_setups(results)
    if setups:
        values = page_values(about, setups, ledger.papers["table4_uci"])
        files[results / f"{SETUPS}.md"] = render("setups.j2", "markdown", **values)
    readme = results.resolve().parent / "README.md"
    if readme.exists():
        files[readme] = with_block(readme.read_text(), ledger, figures)
    changed = [file for file, text in files.items() if not file.exists() or file.read_text() != text]
    removed = [file for file in sorted(results.glob("*.md")) if file not in files and file.read_text().startswith(MADE)]
    for file in [*changed, *removed]:
        print(f"{'would change' if check else 'wrote' if file in files else 'removed'} {file}")
        if not check and file in files:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(file, files[file].encode())
        elif not check:
            file.unlink()
    if not changed and not removed:
        print("every table is as its evidence has it")
    return int(check and bool(changed or removed))


# -- the report ----------------------------------------------------------------------------------------------------------


def write_report(
    *,
    runs: Path,
    results: Path,
    recipes: Recipes,
    differences: Differences,
    planned: Planned | None = None,
    allow_dirty: bool = False,
) -> int:
    """Writes `results/report.html`: tables, figures and every run on one page that needs nothing else."""
    from mixup.figures import all_pictures  # which needs Matplotlib, as the tables do not

    papers, evidence = read_paper(PAPER), checked(read_evidence(runs), allow_dirty=allow_dirty)
    ledger = build(papers, evidence, recipes, planned)
    pictures = all_pictures(evidence, papers, ledger, read_setups(results)[1])
    text = report(ledger, evidence, pictures, differences)
    results.mkdir(parents=True, exist_ok=True)
    write_atomic(results / "report.html", text.encode())
    print(f"wrote {results / 'report.html'}: {len(evidence)} runs, {len(pictures)} figures, {len(text) / 1e6:.1f} MB")
    return 0


def report(ledger: Ledger, evidence: Sequence[Evidence], pictures: Sequence[Any], differences: Differences) -> str:
    """The whole page. pictures: of `mixup.figures`."""
    names = list(dict.fromkeys([*ledger.experiments, *map(experiment_of, evidence)]))
    titles = {name: experiment_title(name, ledger.papers) for name in names}
    sections = []
    for name in names:
        runs = [(place, run) for place, run in enumerate(evidence) if experiment_of(run) == name]
        if ledger.of(name).entries or runs:
            more = {"pictures": [picture for picture in pictures if picture.experiment == name], "runs": runs}
            html = page(ledger.of(name), name, "html", address="#{}".format, record=lambda run: f"#{anchor(run)}", **more)
            section = {"name": name, "title": titles[name], "short": short(name, titles), "count": len(runs)}
            sections.append({**section, "html": Markup(html)})
    forest = [picture for picture in pictures if picture.experiment == FOREST]
    index = Markup(render("index.j2", "html", ledger=ledger, page="#{}".format, pictures=forest))
    data = Markup(runs_json(evidence, differences))
    return render("report.html.j2", "html", sections=sections, index=index, evidence=evidence, data=data)


def short(name: str, titles: Mapping[str, str]) -> str:
    """What a link to an experiment says: `Table 3` where no other experiment is of that table, else its title; its name
    where the paper has no such experiment."""
    number = titles[name].partition(":")[0]
    if not re.match(r"(Figure|Table) \d", number):
        return name
    return number if sum(title.startswith(f"{number}:") for title in titles.values()) == 1 else titles[name]
