"""The rooms of the package stand on floors, and imports point downwards. `python tests/test_layers.py` prints the plan."""

import ast
from collections import Counter
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "mixup"
FLOORS = "errors mixing plan < models data run < training < evaluation gan < ledger < figures pages benchmark < commands"
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS.split(" < ")) for room in rooms.split()}
FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def modules(file: Path) -> frozenset[str]:
    """Dotted names that a file imports, anywhere in it, those of this package down to the module."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative imports hide the arrows"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def arrows() -> Counter[tuple[str, str]]:
    """How many files of a room import from another."""
    return Counter(
        (room_of(file), room)
        for file in FILES
        for room in {name.split(".")[1] for name in modules(file) if name.startswith("mixup.")} - {room_of(file)}
    )


def test_imports_point_downwards():
    assert not {(a, b) for a, b in arrows() if FLOOR[a] < FLOOR[b]}


def test_there_is_no_circle():
    graph = {room: {b for a, b in arrows() if a == room} for room in FLOOR}
    assert list(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_some_rooms_do_without_heavy_libraries(file):
    heavy = {"torch", "hydra", "matplotlib"}
    unwanted = {"run": {"torch"}, "ledger": heavy, "pages": heavy}
    assert not {name.split(".")[0] for name in modules(file)} & unwanted.get(room_of(file), set())


def test_only_the_mirror_knows_wandb():
    assert [file.name for file in FILES if "import wandb" in file.read_text()] == ["mirror.py"]


if __name__ == "__main__":
    counted = arrows()
    print(f"{len(FLOOR)} rooms on {FLOOR['commands'] + 1} floors, {len(counted)} arrows between rooms")
    for (a, b), files in sorted(counted.items(), key=lambda arrow: (-FLOOR[arrow[0][0]], arrow[0])):
        print(f"{'UP ' if FLOOR[a] < FLOOR[b] else ''}{a} -> {b} ({files} files)")
