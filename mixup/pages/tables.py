"""Tables from templates, where each column of a line of a table is a line of text: `- title: words`, `# title: number`."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Field:
    """One field of a table. title: of its column. left: whether it is aligned left, as words are. repeats: whether the line
    above says the same."""

    title: str
    text: str
    left: bool
    repeats: bool

    @property
    def classes(self) -> str:
        """In HTML, where a text that repeats is said again, dimly, so that a filtered row stands for itself."""
        return " ".join([*([] if self.left else ["number"]), *(["dim"] if self.repeats else [])])


def table_rows(items: Iterable[Any], columns: Callable[[Any], str], grouped: int = 0) -> list[list[Field]]:
    """A row an item. columns: an item -> its columns, as text. grouped: in how many first columns a text is not said again
    below itself."""
    rows: list[list[Field]] = []
    for item in items:
        lines = [(line[0] == "-", line[1:].partition(":")) for line in columns(item).strip().splitlines()]
        texts = [text.strip() for _, (_, _, text) in lines]
        above = [field.text for field in rows[-1]] if rows else []
        same = [place < grouped and above[: place + 1] == texts[: place + 1] for place in range(len(texts))]
        columns_of_item = zip(lines, texts, same)
        rows.append([Field(title.strip(), text, left, again) for (left, (title, _, _)), text, again in columns_of_item])
    return rows


def markdown_table(rows: Sequence[Sequence[Field]]) -> str:
    """Padded, so that it can be read as text too."""
    texts = [["" if field.repeats else field.text.replace("|", "\\|") for field in row] for row in rows]
    lines = [[field.title for field in rows[0]], *texts]
    widths = [max(3, *map(len, column)) for column in zip(*lines)]
    left = [field.left for field in rows[0]]
    padded = [[text.ljust(w) if words else text.rjust(w) for text, w, words in zip(line, widths, left)] for line in lines]
    rule = "|".join("-" * (w + 2) if words else "-" * (w + 1) + ":" for w, words in zip(widths, left))
    head, *body = ["| " + " | ".join(line) + " |" for line in padded]
    return "\n".join([head, f"|{rule}|", *body])
