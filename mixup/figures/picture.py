"""What a figure is to those who write it or show it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure

from mixup.figures.ink import svg


@dataclass(frozen=True)
class Picture:
    """name: of its file, with the scale. experiment: the page of `results/` that it belongs to. description: what it
    shows, in words."""

    name: str
    experiment: str
    description: str
    draw: Callable[[], Figure]

    def svg(self) -> str:
        return svg(self.draw, name=self.name, description=self.description)
