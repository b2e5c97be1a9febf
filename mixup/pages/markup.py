"""The generated Markdown of `results/` as HTML, so that the page shows the very rows of the tables.

It knows what `mixup/markdown.py` writes and no more: headings, paragraphs, lists, tables, links, code and emphasis.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html import escape

Resolve = Callable[[str], str | None]  # where a link leads on the page; None for what is not on it


def sections(markdown: str) -> list[tuple[int, str, list[str]]]:
    """Headings with their level and the lines below each, comments left out; text before the first one has level 0."""
    found: list[tuple[int, str, list[str]]] = [(0, "", [])]
    for line in markdown.splitlines():
        if heading := re.match(r"(#+) (.*)", line):
            found.append((len(heading[1]), heading[2], []))
        elif not line.startswith("<!--"):
            found[-1][2].append(line)
    return found


def html_of(lines: list[str], resolve: Resolve) -> str:
    """Paragraphs, lists and tables."""
    return "\n".join(block_html(block, resolve) for block in blocks(lines))


def blocks(lines: list[str]) -> Iterator[list[str]]:
    """Runs of lines that are not blank."""
    block: list[str] = []
    for line in [*lines, ""]:
        if line.strip():
            block.append(line)
        elif block:
            yield block
            block = []


def block_html(block: list[str], resolve: Resolve) -> str:
    if block[0].startswith("|"):
        return table_html(block, resolve)
    if block[0].startswith("* "):
        return "<ul>" + "".join(f"<li>{inline(item[2:], resolve)}</li>" for item in block) + "</ul>"
    return f"<p>{inline(' '.join(block), resolve)}</p>"


def inline(text: str, resolve: Resolve) -> str:
    """Links, code and emphasis in a line of text."""
    parts = re.split(r"(\[[^\]]*\]\([^)]*\))", text)
    return "".join(link_html(part, resolve) if place % 2 else plain(part) for place, part in enumerate(parts))


def plain(text: str) -> str:
    code = re.split(r"`([^`]*)`", text)
    return "".join(
        f"<code>{escape(part)}</code>" if place % 2 else re.sub(r"\*([^*]+)\*", r"<em>\1</em>", escape(part))
        for place, part in enumerate(code)
    )


def link_html(link: str, resolve: Resolve) -> str:
    words, target = link[1:-1].split("](")
    address = resolve(target)
    return plain(words) if address is None else f'<a href="{escape(address)}">{plain(words)}</a>'


# -- tables --------------------------------------------------------------------------------------------------------------


def table_html(block: list[str], resolve: Resolve) -> str:
    """In a box that scrolls by itself. Cells that are empty because the line above says the same say it again, dimly, so
    that a filtered row stands for itself."""
    header, rule, *rows = [cells_of(line) for line in block]
    numeric = [mark.endswith(":") for mark in rule]
    head = "".join(f'<th scope="col"{kind(right)}>{inline(cell, resolve)}</th>' for cell, right in zip(header, numeric))
    lines, above = [], [""] * len(header)
    for row in rows:
        repeated = next((place for place, cell in enumerate(row) if cell), 0)
        row = [*above[:repeated], *row[repeated:]]
        cells = [
            f"<td{kind(right, dim=place < repeated)}>{inline(cell, resolve)}</td>"
            for place, (cell, right) in enumerate(zip(row, numeric))
        ]
        lines.append(f'<tr class="row">{"".join(cells)}</tr>')
        above = row
    body = "\n".join(lines)
    name = escape(f"table of {', '.join(word for word in header if word)}")
    opening = f'<div class="scroll" tabindex="0" role="region" aria-label="{name}"><table>'
    return f"{opening}<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"


def cells_of(line: str) -> list[str]:
    parts = re.split(r"(?<!\\)\|", line.strip().strip("|"))
    return [part.strip().replace("\\|", "|") for part in parts]


def kind(right: bool, *, dim: bool = False) -> str:
    names = [*(["number"] if right else []), *(["dim"] if dim else [])]
    return f' class="{" ".join(names)}"' if names else ""
