"""The report: the rows of the generated tables, every run, and in a real Chromium what a reader does with them."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import browser
import made_up
import pytest

from mixup.commands.redo import recipes
from mixup.figures import all_pictures
from mixup.ledger.collect import contents, write_evidence
from mixup.ledger.evidence import read_evidence
from mixup.ledger.paper import read_paper
from mixup.ledger.verdicts import build
from mixup.pages.build import environment, pages
from mixup.pages.runs import script_json
from mixup.run.compose import planned
from mixup.training import train as run

ROOT = Path(__file__).resolve().parents[2]
needs_chromium = pytest.mark.skipif(browser.CHROMIUM is None, reason="no Chromium is installed: apt-get install chromium")


def make_report(*arguments: object) -> tuple[int, str, str]:
    return made_up.call("ledger.py", "report", *arguments)


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("report") / "report.html"
    status, _, errors = make_report("--runs", made_up.everything(), "--out", file.parent)
    assert status == 0, errors
    return file


@pytest.fixture(scope="module")
def evidence():
    return read_evidence(made_up.everything())


# -- what it is made of --------------------------------------------------------------------------------------------------


def test_it_has_every_row_of_the_generated_tables(file, evidence):
    paper = read_paper(ROOT / "results" / "paper.yaml")
    tables = pages(build(paper, evidence, recipes(paper)))
    tables["README.md"] = tables["README.md"].partition("## All tables")[0]  # what follows are the others' again
    lines = [line for text in tables.values() for line in text.splitlines() if line.startswith("|")]
    rules = [line for line in lines if set(line) <= set("|-: ")]
    page = file.read_text()
    assert page.count('<tr class="row">') == len(lines) - 2 * len(rules)
    row = next(line for line in lines if "mixup, alpha 8" in line or "| 8 " in line)
    for cell in row.strip("| ").split("|"):
        assert f">{html.escape(cell.strip())}<" in page or not cell.strip()


def test_it_has_every_run_and_its_data_are_the_records(file, evidence):
    page = file.read_text()
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])
    assert len(data["runs"]) == len(evidence) == page.count("<details id=")
    assert len(data["environments"]) == 1
    all_runs = [data["shared"][own["of"]] | own for own in data["runs"]]
    for run_data, found in zip(all_runs, evidence):
        assert (ROOT / run_data["file"]).name == found.file.name
        assert run_data["command"].startswith("python train.py")
        if "top1_error" in found.record["test"]:
            last = f"{found.record['test']['top1_error']['last']:.2f} %"
            assert ("test error, last epoch", last) in zip(run_data["measures"], run_data["values"])
    pictures = all_pictures(evidence, read_paper(ROOT / "results" / "paper.yaml"))
    drawn = {*(picture.name for picture in pictures), "forest"}
    assert set(re.findall(r"<code>figures/(.*?)\.svg</code>", page)) == drawn
    small = next(one for one in all_runs if one["section"] == "figure2_between")
    differ = {setting: (here, there) for setting, here, there in data["differences"][small["differences"]]}
    assert differ["scale"] == ("cpu", "paper")
    assert differ["trainer.epochs"] == ("48", "200")
    assert not {"seed", "runs_dir", "name"} & set(differ)


@pytest.mark.long  # of the committed evidence test_generated.py asks the same
def test_it_is_the_same_bytes_again(file):
    again = file.parent / "again" / "report.html"
    command = [
        sys.executable,
        ROOT / "scripts" / "ledger.py",
        "report",
        "--runs",
        made_up.everything(),
        "--out",
        again.parent,
    ]
    subprocess.run(command, capture_output=True, check=True, env={**os.environ, "PYTHONHASHSEED": "1"})
    assert again.read_bytes() == file.read_bytes()


def test_it_needs_no_other_file(file):
    page = file.read_text()
    loads = re.findall(r'(?:src|href|xlink:href)="([^"#][^"]*)"', page)
    assert set(loads) <= {"data:,"}
    assert not re.search(r"@import|url\((?!#)|fetch\(|XMLHttpRequest", page)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    anchors = {html.unescape(anchor) for anchor in re.findall(r'href="#([^"]+)"', page)}
    assert anchors <= set(ids), "every link leads somewhere"


def test_what_is_changed_by_hand_is_refused(tmp_path):
    (original,) = made_up.make_runs(tmp_path / "runs", "experiment=figure1_toy", "mixup=erm", measured="surface", seeds=1)
    original.write_text(original.read_text().replace('"device": "CPU', '"device": "GPU'))
    status, _, errors = make_report("--runs", tmp_path / "runs", "--out", tmp_path)
    assert status == 2
    assert original.name in errors
    assert not (tmp_path / "report.html").exists()


def test_data_cannot_end_the_script_that_holds_them():
    words = {"command": 'python "</script><script>alert(1)</script>"', "other": "±"}
    assert "<" not in script_json(words)
    assert json.loads(script_json(words)) == words


TABLE = """\
{% import format ~ ".j2" as f with context %}
{% call(row) f.table(rows, grouped=2) %}
- a: {{ row[0] }}
- b: {{ row[1] }}
# n: {{ row[2] }}
{% endcall %}
"""


def test_a_text_that_repeats_the_line_above_is_said_again_dimly_and_markup_is_escaped():
    texts = [("A", "B", "1.00"), ("A", "C", "-"), ("A", "C", "3|4 <e>"), ("D", "C", "5.00")]
    text = environment("html").from_string(TABLE).render(format="html", rows=texts)
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r'<tr class="row">(.*?)</tr>', text)]
    assert rows == [["A", "B", "1.00"], ["A", "C", "-"], ["A", "C", "3|4 &lt;e&gt;"], ["D", "C", "5.00"]]
    assert '<td class="dim">A</td>' in text
    assert '<th scope="col" class="number">n</th>' in text
    text = environment("markdown").from_string(TABLE).render(format="markdown", rows=texts)
    assert text.strip().splitlines()[2:] == [
        "| A   | B   |     1.00 |",
        "|     | C   |        - |",
        "|     |     | 3\\|4 <e> |",
        "| D   | C   |     5.00 |",
    ]


# -- in a browser --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with browser.Browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture
def page(chromium, file):
    """The report, just opened; in the end nothing was to be complained of."""
    chromium.errors.clear()
    chromium.requests.clear()
    chromium.open("about:blank")
    chromium.open(file.as_uri())
    yield chromium
    assert chromium.errors == []
    assert {address for address in chromium.requests if not address.startswith(("file://", "data:", "about:"))} == set()


RUN = "details[data-run]"
VISIBLE = "[...document.querySelectorAll('{}')].filter((e) => e.checkVisibility()).length"


def count_visible(page, selector: str) -> int:
    return page.value(VISIBLE.format(selector))


def no_wider_than(page, width: int) -> bool:
    """A phone's own window grows with what is too wide for it, so it is no measure."""
    return page.value("document.documentElement.scrollWidth") <= width


@needs_chromium
def test_words_leave_the_rows_and_runs_that_have_them_all(page):
    runs, rows = count_visible(page, RUN), count_visible(page, "main > section[data-title] tr.row")
    page.click("#text")
    page.type("label_noise=0.5 SEED=1")
    wanted = "(e) => e.textContent.includes('label_noise=0.5') && e.textContent.includes('seed=1')"
    assert (
        count_visible(page, RUN)
        == page.value(f"[...document.querySelectorAll('details[data-run]')].filter({wanted}).length")
        == 4
    )
    assert count_visible(page, f"#table2_label_noise {RUN}") == 4
    assert not page.value("document.querySelector('#figure2_between').checkVisibility()")
    assert f"4 of {runs} runs" in page.value("document.getElementById('found').textContent")
    page.click("button[type=reset]")
    page.wait("document.getElementById('found').textContent === ''")
    assert (count_visible(page, RUN), count_visible(page, "main > section[data-title] tr.row")) == (runs, rows)
    page.click("#text")
    page.type("no such thing anywhere")
    assert count_visible(page, "main section") == count_visible(page, RUN) == 0


@needs_chromium
def test_the_filter_finds_what_its_own_example_says(page, evidence):
    page.click("#text")
    example = page.value("document.getElementById('text').placeholder").partition(": ")[2]
    page.type(example)
    assert example == "mixup seed=1"
    wanted = [run for run in evidence if run.seed == 1 and run.settings["mixup.alpha"] > 0]
    assert 0 < count_visible(page, f"{RUN}:not(#semantics *)") == len([run for run in wanted if "semantics" not in run.name])


@needs_chromium
def test_what_is_not_run_is_folded_and_unfolds_where_words_are_found_in_it(page):
    assert count_visible(page, "#table2_label_noise .more tr.row") == 0
    page.click("#text")
    page.type("80 % corrupted mixup")
    assert count_visible(page, "#table2_label_noise .more tr.row") > 0
    page.click("button[type=reset]")
    page.wait("document.getElementById('found').textContent === ''")
    assert count_visible(page, "#table2_label_noise .more tr.row") == 0


@needs_chromium
def test_a_row_is_found_by_the_heading_above_it(page):
    page.click("#text")
    page.type("figure3_cifar10 (jpeg copy), cpu")  # the data are named by a heading alone
    assert count_visible(page, "#figure3_cifar10 tr.row") == 4
    assert count_visible(page, "#figure3_cifar10 h4") == 1


@needs_chromium
def test_words_also_look_into_what_is_folded_and_hide_what_holds_none(page):
    page.click("#text")
    page.type("figure2_between resnet-18")  # the net, which no line shows
    assert count_visible(page, RUN) == 4
    assert count_visible(page, "#figure2_between tr.row") == 0
    titles = (
        "[...document.querySelectorAll('#figure2_between h3')].filter((e) => e.checkVisibility()).map((e) => e.textContent)"
    )
    assert page.value(titles) == ["Runs"]


@needs_chromium
def test_an_experiment_is_chosen_alone_with_all_it_has(page):
    everything = page.value("document.querySelectorAll('#table3_adversarial tr.row:not(.more *)').length")
    page.value("document.getElementById('experiment').value = 'table3_adversarial'")
    page.value("document.getElementById('experiment').dispatchEvent(new Event('change'))")
    there = "[...document.querySelectorAll('main > section')].filter((e) => e.checkVisibility()).map((e) => e.id)"
    assert page.value(there) == ["table3_adversarial"]
    assert count_visible(page, "#table3_adversarial tr.row") == everything
    assert count_visible(page, "#table3_adversarial figure") == 1


@needs_chromium
def test_a_run_unfolds_to_its_command_settings_environment_and_curve(page):
    page.click("#figure2_between details[data-run] summary")
    page.wait("document.querySelector('#figure2_between details[data-run][open] .details') !== null")
    text = page.value("document.querySelector('#figure2_between .details').innerText")
    assert "python train.py -m experiment=figure2_between-cpu scale=cpu" in text
    assert re.search(r"trainer.epochs\s+48\s+200", text)
    assert "torch 2.15.0" in text
    assert "absent" not in text
    assert made_up.ENVIRONMENT["commit"] in text
    assert "test error over 48 epochs: " in text
    assert count_visible(page, "#figure2_between .details .curve") == 1
    page.click("#figure2_between details[data-run] summary")
    assert count_visible(page, "#figure2_between .details") == 0


@needs_chromium
def test_deep_links_lead_to_an_experiment_and_open_a_run(page, file):
    page.click("#text")
    page.type("nothing has this")
    page.value("location.hash = '#table2_label_noise'")
    page.wait("document.querySelector('#table2_label_noise').checkVisibility()")
    top = page.value("document.querySelector('#table2_label_noise').getBoundingClientRect().top")
    assert -100 < top < 300
    link = page.value("document.querySelector('#table2_label_noise [href^=\"#run-\"]').getAttribute('href')")
    page.open(file.as_uri() + link)
    page.wait(f"document.getElementById({json.dumps(link[1:])}).open")


@needs_chromium
def test_the_keyboard_is_enough(page):
    page.press("Tab")
    assert page.value("document.activeElement.className") == "skip"
    page.value("document.querySelector('#figure2_between details[data-run] summary').focus()")
    page.press("Enter")
    page.wait("document.querySelector('#figure2_between details[data-run]').open")
    unnamed = "[...document.querySelectorAll('select, input, button, a, [tabindex], summary')].filter((e) => "
    unnamed += "!(e.textContent.trim() || e.getAttribute('aria-label'))).map((e) => e.outerHTML)"
    assert page.value(unnamed) == []


@needs_chromium
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_phone_shows_all_of_it_without_scrolling_sideways(page, file, dark):
    page.open(file.as_uri() + "#table2_label_noise", width=375, height=800, dark=dark)
    assert no_wider_than(page, 375)
    wide = "[...document.querySelectorAll('.scroll')].filter((e) => e.scrollWidth > e.clientWidth).length"
    assert page.value(wide) > 0, "wide tables scroll in their own box"
    page.value("document.querySelectorAll('details').forEach((e) => { e.open = true })")
    page.wait("document.querySelectorAll('.details').length === document.querySelectorAll('details[data-run]').length")
    assert no_wider_than(page, 375)


@needs_chromium
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_stands_out_from_the_page(page, file, dark):
    page.open(file.as_uri(), dark=dark)
    colours = page.value(
        "[document.body, document.querySelector('h1'), document.querySelector('td.dim'), document.querySelector('nav a'),"
        " document.querySelector('figcaption'), document.querySelector('figure text')]"
        ".map((e) => { const s = getComputedStyle(e); return e === document.body ? s.backgroundColor"
        " : e.tagName === 'text' ? s.fill : s.color })"
    )
    back, *front = [[int(part) for part in re.findall(r"\d+", colour)[:3]] for colour in colours]
    assert (sum(back) < 150) == dark
    for colour in front:
        assert contrast(back, colour) >= 4.5


def contrast(one: list[int], other: list[int]) -> float:
    def luminance(colour: list[int]) -> float:
        linear = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


# -- from training to the page -------------------------------------------------------------------------------------------


@needs_chromium
def test_two_runs_from_training_to_the_page(tmp_path, chromium, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    overrides = ["data=digits", "model=lenet", "mixup=erm,mixup", "seed=0", "trainer.epochs=2", "trainer.device=cpu"]
    for task in planned([*overrides, f"runs_dir={tmp_path / 'runs'}", "tracking.wandb=disabled"], multirun=True):
        run.train(task.config, task.folder, task.label)
        write_evidence(contents(task.folder), tmp_path / "evidence" / task.config.name / f"{task.folder.name}.json")
    for verb in ("figures", "report"):
        options = ("--runs", tmp_path / "evidence", "--out", tmp_path, "--allow-dirty")
        status, _, errors = made_up.call("ledger.py", verb, *options)
        assert status == 0, errors
    assert [file.name for file in (tmp_path / "figures").iterdir()] == ["digits-lenet-curves-paper.svg"]
    chromium.errors.clear()
    chromium.open((tmp_path / "report.html").as_uri() + "#digits-lenet")
    assert count_visible(chromium, f"#digits-lenet {RUN}") == 2
    chromium.click("#digits-lenet details[data-run] summary")
    chromium.wait("document.querySelector('.details') !== null")
    text = chromium.value("document.querySelector('.details').innerText")
    assert re.search(r"trainer.epochs\s+2\s+\d+", text)
    assert chromium.errors == []
