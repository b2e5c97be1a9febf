"""How every picture looks, and SVG that is the same bytes every time.

A figure stands on light and on dark pages, as an image that cannot know which: its background is transparent, and its ink of
a middle tone that reads on both (4.5:1 on white, 4.2:1 on #0d1117). Inlined in a page, `--ink` sets it to what reads best.
"""

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

INK, PRINT_INK = "#767676", "#333333"  # the second on white
COLOURS = {"ERM": "#c2571a", "mixup": "#1a6fc2"}  # in every picture of this project
# Of all methods that are neither ERM nor plain mixup.
PALETTE = ("#2e8b57", "#8a4fbf", "#b07d12", "#c7457b", "#0f8b8d", "#8b6f4e", "#5d7a1f", "#6b6fd6", "#b0413e", "#7d7d7d")
WIDTH = 9.0  # inches, of every figure; shown at half of it the type is still over 8 px high


def ink(colour: str) -> dict[str, str]:
    """Settings for text, ticks and edges in one colour."""
    names = [f"{name}.color" for name in ("text", "xtick", "ytick", "grid")]
    return dict.fromkeys([*names, "axes.edgecolor", "axes.labelcolor"], colour)


SHEET = matplotlib.rc_params_from_file(Path(__file__).with_name("mixup.mplstyle"), use_default_template=False)
STYLE: dict[Any, Any] = {**SHEET, **ink(INK)}


@dataclass(frozen=True)
class Picture:
    """A figure of the evidence. name: of its file, with the scale. experiment: the page of `results/` that it belongs to.
    description: what it shows, in words."""

    name: str
    experiment: str
    description: str
    draw: Callable[[], Figure]

    def svg(self) -> str:
        """SVG text, with ids that no other figure has."""
        with matplotlib.rc_context(STYLE):
            content = io.StringIO()
            self.draw().savefig(content, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        return tidy(content.getvalue(), self.name, self.description)


def write_png(draw: Callable[[], Figure], file: Path) -> None:
    """The figure as pixels on white."""
    with matplotlib.rc_context(STYLE | ink(PRINT_INK)):
        draw().savefig(file, dpi=150, facecolor="white")


def tidy(text: str, name: str, description: str) -> str:
    """matplotlib's SVG without what changes with its version, or would be there twice where a page holds two figures.

    Numbers are rounded to a hundredth of a point, and referenced elements are numbered: matplotlib's ids are hashes of
    coordinates to their last bit, which is not the same in every process.
    """

    def rounded(number: re.Match[str]) -> str:
        return f"{round(float(number.group()), 2) + 0:g}"  # + 0: no -0

    text = text[text.index("<svg") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"\s*<defs>\s*<style.*?</style>\s*</defs>", "", text, flags=re.DOTALL)  # would hold for a whole page
    text = re.sub(r'<g id="[^"]*">', "<g>", text)  # nothing refers to groups
    text = re.sub(r"<[^>]*>", lambda tag: re.sub(r"-?\d+\.\d{3,}", rounded, tag.group()), text)
    for number, id in enumerate(dict.fromkeys(re.findall(r'\bid="([^"]+)"', text)), 1):
        text = re.sub(rf'(\bid="|url\(#|href="#){id}\b', rf"\g<1>{name}-{number}", text)
    text = re.sub(r"(fill|stroke): " + INK, rf"\1: var(--ink, {INK})", text)
    head, body = text.split(">", 1)
    attributes = 'role="img" style="stroke-linejoin: round; stroke-linecap: butt"'
    return f"{head} {attributes}>\n <title>{escape(description)}</title>{body}"
