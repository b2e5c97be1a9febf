"""The package's one-way layers, read from its imports."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "mixup"

# A module may import from lower layers, and from its own where the layer is not 0. Layer -1 is for everyone.
LAYERS = {
    -1: {"errors", "files"},
    0: {"plan", "mixing", "models", "data", "schedules", "metrics", "distributed", "checkpoint", "records", "tracking"}
    | {"config", "cost", "paper", "statistics"},
    1: {"engine", "analysis", "display", "naming", "gan_config", "eval_config", "measurements"}
    | {"evidence", "collecting", "cells", "verdicts", "alike", "kinds", "apart", "markdown", "tables", "gan_table"}
    | {"overview", "planning", "systems", "digitised", "nets", "doubts"}
    | {"figures", "markup", "page", "page_runs"},
    2: {"method", "assembly", "resuming", "results", "run", "report", "speed", "dry_run", "inventory", "verification"}
    | {"gan_state", "gan_results", "gan_run"}
    | {"trained", "robustness", "figure2", "card", "pictures", "evaluation"},
    3: {"command_line", "gan_command_line", "reproduction", "sweep_table"},
}
LAYER = {module: layer for layer, modules in LAYERS.items() for module in modules}


def top_module(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(file: Path) -> set[str]:
    """Modules of this package that a file imports, anywhere in it, by their first name below `mixup`."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("mixup.")}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "mixup":
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative imports hide the arrows"
    return found


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_point_downwards(file):
    importer = top_module(file)
    if importer == "__init__":
        assert imports(file) == set()
        return
    for imported in imports(file) - {importer}:
        same_is_fine = LAYER[importer] > 0
        assert LAYER[imported] < LAYER[importer] or (same_is_fine and LAYER[imported] == LAYER[importer]), (
            f"{importer} (layer {LAYER[importer]}) imports {imported} (layer {LAYER[imported]})"
        )


@pytest.mark.parametrize("module", ["config", "records", "errors", "files", "tracking", "evidence", "collecting", "tables"])
def test_these_import_no_torch(module):
    names = {
        name.split(".")[0]
        for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text()))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert not names & {"torch", "torchvision", "timm"}


def test_only_tracking_knows_wandb():
    users = [top_module(file) for file in PACKAGE.rglob("*.py") if "import wandb" in file.read_text()]
    assert users == ["tracking"]
