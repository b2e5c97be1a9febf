"""What is committed is what the committed evidence makes: deleted and made again, every table, figure and page has the same
bytes."""

import shutil
from pathlib import Path

import matplotlib
import pytest
from conftest import ROOT

from mixup.pages.build import BEGIN, END, MADE

pytestmark = pytest.mark.slow
VERBS = ("figures", "tables", "report")  # of scripts/ledger.py, in the order in which each needs the other's files


def is_generated(file: Path) -> bool:
    page = file.suffix == ".md" and file.read_text().startswith(MADE)
    return page or file.name == "report.html" or (file.parent.name == "figures" and file.suffix == ".svg")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if is_generated(file)}


@pytest.fixture(scope="module")
def again(tmp_path_factory, command) -> Path:
    """A copy of README.md and results/ from which all that is generated was taken, and made again."""
    folder = tmp_path_factory.mktemp("again")
    shutil.copytree(ROOT / "results", folder / "results")
    for file in list((folder / "results").rglob("*")):
        if is_generated(file):
            file.unlink()
    before, _, rest = (ROOT / "README.md").read_text().partition(BEGIN)
    (folder / "README.md").write_text(before + BEGIN + END + rest.partition(END)[2])
    assert contents(folder) == {}
    for verb in VERBS:
        done = command("scripts/ledger.py", verb, "--out", folder / "results")
        assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_generated_file_is_made_again_to_the_byte(again):
    committed, made = contents(ROOT / "results"), contents(again / "results")
    assert len(committed) > 20
    differing = [name for name in committed.keys() | made.keys() if committed.get(name) != made.get(name)]
    assert not differing, f"make figures tables report, and commit; matplotlib here is {matplotlib.__version__}"


def test_so_is_the_block_of_the_readme(again):
    assert (again / "README.md").read_text() == (ROOT / "README.md").read_text()
