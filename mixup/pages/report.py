"""`results/report.html`: tables, figures and every run on one page that needs nothing else.

Tables are those of `results/*.md`, converted; figures are inlined; a run's details are data, shown by the page's script.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import takewhile

from mixup.figures import Picture
from mixup.ledger.evidence import Evidence
from mixup.pages.markdown import SOURCES
from mixup.pages.markup import Resolve, html_of, sections
from mixup.pages.overview import ALL
from mixup.pages.report_runs import Differences, anchor, data_of, run_html, script_json, section_of
from mixup.run.display import duration


@dataclass(frozen=True)
class Section:
    """name: as in the page's address. body: HTML of its tables. sources: of the table that leads to the runs. runs: with
    their place among all."""

    name: str
    title: str
    body: str
    sources: str
    pictures: Sequence[Picture]
    runs: Sequence[tuple[int, Evidence]]


def page(
    template: str,
    *,
    tables: Mapping[str, str],
    evidence: Sequence[Evidence],
    pictures: Sequence[Picture],
    differences: Differences,
) -> str:
    """The whole page. tables: the generated Markdown by file name, README.md over all of them. template: HTML with the
    places `<!-- nav -->`, `<!-- options -->`, `<!-- overview -->`, `<!-- sections -->` and `/* data */`."""
    found = sections_of(tables, evidence, pictures)
    resolve = resolver([section.name for section in found], evidence)
    whole = takewhile(lambda part: part[1] != ALL, sections(tables["README.md"]))  # after it, what the page has by itself
    overview = "\n".join(headed(*part, resolve) for part in whole if part[0] != 1)
    stated = next((html_of(lines, resolve) for level, _, lines in sections(tables["README.md"]) if level == 1), "")
    parts = {
        "<!-- nav -->": "\n".join(nav_item(section, found) for section in found),
        "<!-- options -->": "".join(f'<option value="{one.name}">{escape(one.title)}</option>' for one in found),
        "<!-- overview -->": f"{counts(evidence)}\n{stated}\n{overview}",
        "<!-- sections -->": "\n".join(section_html(section) for section in found),
        "/* data */": script_json(data_of(evidence, differences)),
    }
    for place in parts:
        assert template.count(place) == 1, f"the template has {place} {template.count(place)} times"
    return re.sub("|".join(map(re.escape, parts)), lambda match: parts[match.group()], template)


# -- sections ------------------------------------------------------------------------------------------------------------


def sections_of(tables: Mapping[str, str], evidence: Sequence[Evidence], pictures: Sequence[Picture]) -> list[Section]:
    """One for each page of results/, in its order, and for runs that have none."""
    names = [file.removesuffix(".md") for file in tables if file != "README.md"]
    names = list(dict.fromkeys([*names, *(section_of(run) for run in evidence)]))
    resolve = resolver(names, evidence)
    found = []
    for name in names:
        parts = sections(tables.get(f"{name}.md", f"# Runs of {name}"))
        title = next(text for level, text, _ in parts if level == 1)
        body, sources = (  # which here follow the figures
            "\n".join(headed(*part, resolve) for part in parts if (part[1] == SOURCES) == wanted) for wanted in (False, True)
        )
        runs = [(place, run) for place, run in enumerate(evidence) if section_of(run) == name]
        found.append(Section(name, title, body, sources, [one for one in pictures if one.experiment == name], runs))
    return found


def resolver(names: Sequence[str], evidence: Sequence[Evidence]) -> Resolve:
    """Links to pages of results/ and to records lead to their places on this page; others are words."""
    anchors = {f"{name}.md": f"#{name}" for name in names}
    anchors |= {f"runs/{run.name}.json": f"#{anchor(run)}" for run in evidence}
    return anchors.get


def headed(level: int, title: str, lines: list[str], resolve: Resolve) -> str:
    """A part of a page of results/, whose own title is the section's."""
    head = f"<h{level + 1}>{escape(title)}</h{level + 1}>\n" if level > 1 else ""
    return head + html_of(lines, resolve)


def nav_item(section: Section, found: Sequence[Section]) -> str:
    """By its number in the paper, where that is its alone; an experiment beside the paper by its name."""
    number = section.title.partition(":")[0]
    alone = sum(one.title.startswith(f"{number}:") for one in found) == 1
    words = number if alone else section.title
    words = words if re.match(r"(Figure|Table) \d", number) else section.name
    count = f" <small>{len(section.runs)}</small>" if section.runs else ""
    return f'<li><a href="#{section.name}">{escape(words)}</a>{count}</li>'


def section_html(section: Section) -> str:
    title = (
        f'<h2>{escape(section.title)} <a class="self" href="#{section.name}" aria-label="link to this section">#</a></h2>'
    )
    figures = "\n".join(figure_html(picture) for picture in section.pictures)
    runs = "\n".join(run_html(place, run) for place, run in section.runs)
    listed = f'<h3>Runs</h3>\n<div class="runs">\n{runs}\n</div>' if runs else ""
    figures = f"<h3>Figures</h3>\n{figures}" if figures else ""
    inside = "\n".join([title, section.body, figures, section.sources, listed])
    return f'<section id="{section.name}" data-title="{escape(section.title)}">\n{inside}\n</section>'


def figure_html(picture: Picture) -> str:
    box = f'<div class="scroll" tabindex="0" role="region" aria-label="figure {escape(picture.name)}">{picture.svg()}</div>'
    # A phone shows a part of the figure at a time: the caption in it is said again below, where there is little width.
    said = f'<span class="caption">{escape(picture.description)}</span> <code>figures/{escape(picture.name)}.svg</code>'
    return f"<figure>{box}<figcaption>{said}</figcaption></figure>"


def counts(evidence: Sequence[Evidence]) -> str:
    """What there is, in figures."""
    seconds = sum(run.record["train_seconds"] for run in evidence)
    devices = sorted({run.record["device"] for run in evidence})
    told = [
        (f"{len(evidence):,}", "runs"),
        (f"{len({section_of(run) for run in evidence})}", "experiments"),
        (duration(seconds), "of training"),
        (", ".join(devices) or "-", "device" if len(devices) == 1 else "devices"),
    ]
    return '<dl class="counts">' + "".join(f"<div><dt>{what}</dt><dd>{escape(n)}</dd></div>" for n, what in told) + "</dl>"
