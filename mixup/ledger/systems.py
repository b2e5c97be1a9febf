"""Whose mixup a run is: settings by the files in `configs/mixup`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from mixup.ledger.cells import is_erm
from mixup.run.config import schema_defaults

PRESETS = Path(__file__).resolve().parents[2] / "configs" / "mixup"
ERM, PAPER = "ERM", "the paper's"


def system(settings: Mapping[str, Any]) -> str | None:
    """`timm`, or another preset's name; ERM, PAPER, or None for what is nobody's. settings: by dotted key."""
    if is_erm(settings):
        return ERM
    return next((name for name, own in presets().items() if all(settings[key] == own[key] for key in own)), None)


@cache
def presets() -> dict[str, dict[str, Any]]:
    """By name, every setting of each but alpha; the paper's first, which others may equal."""
    usual = {key: value for key, value in schema_defaults() if key.startswith("mixup.") and key != "mixup.alpha"}
    found = {PAPER: usual}
    for file in sorted(PRESETS.glob("*.yaml")):
        own = yaml.safe_load(file.read_text()) or {}  # mixup.yaml leaves everything to the schema
        found.setdefault(
            file.stem, {**usual, **{f"mixup.{key}": own[key] for key in own if key not in ("defaults", "alpha")}}
        )
    return found
