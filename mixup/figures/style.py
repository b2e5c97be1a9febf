"""How every picture looks, and SVG that is the same bytes every time.

A figure stands on light and on dark pages: its background is transparent, and the ink of a file follows the reader's colour
scheme. Where a page does not follow it, both inks are still seen. Inlined in a page, the page's `--ink` is the ink.
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

INK, PRINT_INK = "#767676", "#333333"  # where neither scheme is known; on white
SCHEMES = {"light": "#57606a", "dark": "#9ea7b3"}  # the ink of a file
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


FONT = "font-family: 'DejaVu Sans', 'Verdana', 'Arial', sans-serif; "  # of every text, and so of the whole picture


@dataclass(frozen=True)
class Picture:
    """A figure of the evidence. name: of its file, with the scale. experiment: the page of `results/` that it belongs to.
    description: what it shows, in words. says: what to see in it, what is seen, and why, for the page above it."""

    name: str
    experiment: str
    description: str
    draw: Callable[[], Figure]
    says: str = ""

    def svg(self) -> str:
        """SVG text for a page that sets `--ink`, with ids that no other figure has."""
        with matplotlib.rc_context(STYLE):
            content = io.StringIO()
            self.draw().savefig(content, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        return tidy(content.getvalue(), self.name, self.description)

    def file(self) -> str:
        """The same for a file, with its own ink, and with `says` in it."""
        light, dark = (f":root {{ --ink: {colour} }}" for colour in SCHEMES.values())
        style = f"<style>{light} @media (prefers-color-scheme: dark) {{ {dark} }}</style>"
        return self.svg().replace("</title>", f"</title>\n <desc>{escape(self.says)}</desc>\n {style}", 1)


def write_png(draw: Callable[[], Figure], file: Path) -> None:
    """The figure as pixels on white."""
    with matplotlib.rc_context(STYLE | ink(PRINT_INK)):
        draw().savefig(file, dpi=150, facecolor="white")


def ungrouped(text: str) -> str:
    """SVG without the groups that have no attributes, which change nothing."""
    kept, parts = list[bool](), []
    for part in re.split(r"(<g>|<g\s[^>]*[^/]>|</g>)", text):
        if part.startswith("<g"):
            kept.append(part != "<g>")
        if part not in ("<g>", "</g>") or (part == "</g>" and kept.pop()):
            parts.append(part)
    return "".join(parts)


def tidy(text: str, name: str, description: str) -> str:
    """matplotlib's SVG without what changes with its version, or would be there twice where a page holds two figures.

    Numbers are rounded to a hundredth of a point, from 10 on to a tenth, and referenced elements are numbered: matplotlib's
    ids are hashes of coordinates to their last bit, which is not the same in every process.
    """

    def rounded(number: re.Match[str]) -> str:
        value = float(number.group())
        return f"{round(value, 2 if abs(value) < 10 else 1) + 0:g}"  # + 0: no -0

    text = text[text.index("<svg") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"\s*<defs>\s*<style.*?</style>\s*</defs>", "", text, flags=re.DOTALL)  # would hold for a whole page
    text = re.sub(r'<g id="[^"]*">', "<g>", text)  # nothing refers to groups
    text = re.sub(r"<[^>]*>", lambda tag: re.sub(r"-?\d+\.\d{2,}", rounded, tag.group()), text)
    for number, id in enumerate(dict.fromkeys(re.findall(r'\bid="([^"]+)"', text)), 1):
        text = re.sub(rf'(\bid="|url\(#|href="#){id}\b', rf"\g<1>{name}-{number}", text)
    text = re.sub(r" ?\n\s*", "\n", ungrouped(text))
    text = re.sub(r"M (\S+) (\S+)\nL \1 \2\n", r"M\1 \2h0\n", text)  # a dot of a path
    text = re.sub(r' d="M[^CQ"]*"', lambda path: path.group().replace("\nL ", "\n"), text)  # what follows M is a line
    text = re.sub(FONT, "", text)
    text = re.sub(r"(fill|stroke): " + INK, rf"\1: var(--ink, {INK})", text)
    head, body = text.split(">", 1)
    attributes = f'role="img" style="{FONT}stroke-linejoin: round; stroke-linecap: butt"'
    return f"{head} {attributes}>\n <title>{escape(description)}</title>{body}"
