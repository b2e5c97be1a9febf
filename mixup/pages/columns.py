"""The tables: what each column is called, and its text for an entry, claim or experiment. A new column is one Column."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from mixup.ledger.cells import Settings, is_erm, is_mixup, uncropped
from mixup.ledger.entries import UNJUDGED, WORDS, ClaimEntry, Entry, Group, Ledger
from mixup.ledger.inference import Word, sign_test
from mixup.ledger.metrics import Measure
from mixup.ledger.names import MISSING, ROW_PARTS, experiment_title, net, row_name, row_parts
from mixup.pages.texts import claim_text, cost, direction, paired, printed, probability, spread


@dataclass(frozen=True)
class Column:
    """text: of one line's item. left: whether it is aligned left, as words are. target: the experiment that it links to."""

    title: str
    text: Callable[[Any], str]
    left: bool = False
    target: Callable[[Any], str | None] = lambda item: None


@dataclass(frozen=True)
class Text:
    """One cell of a table. repeats: whether the line above says the same."""

    text: str
    left: bool
    target: str | None = None
    repeats: bool = False

    @property
    def classes(self) -> str:
        """In HTML, where a text that repeats is said again, dimly, so that a filtered row stands for itself."""
        return " ".join([*([] if self.left else ["number"]), *(["dim"] if self.repeats else [])])


@dataclass(frozen=True)
class Table:
    columns: Sequence[Column]
    rows: Sequence[Sequence[Text]]


def table(columns: Sequence[Column | None], items: Iterable[Any], *, grouped: int = 0) -> Table:
    """A line an item. grouped: in how many first columns a text is not said again below itself."""
    present = [column for column in columns if column is not None]
    rows: list[list[Text]] = []
    for item in items:
        texts = [column.text(item) for column in present]
        above = [text.text for text in rows[-1]] if rows else []
        same = [bool(above) and place < grouped and above[: place + 1] == texts[: place + 1] for place in range(len(texts))]
        rows.append(
            [Text(text, column.left, column.target(item), repeats) for text, column, repeats in zip(texts, present, same)]
        )
    return Table(present, rows)


def several(items: Sequence[Entry] | Sequence[ClaimEntry]) -> bool:
    return len({item.measure for item in items}) > 1


def count_text(count: int) -> str:
    return str(count) if count else MISSING


# -- an experiment's tables ----------------------------------------------------------------------------------------------

COST = Column("one run", lambda entry: cost(entry.cell), left=True)
MEASURE = Column("measure", lambda entry: entry.measure.title, left=True)
VERDICT = Column("verdict", lambda entry: str(entry.verdict), left=True)
DIFFERENCE = Column("difference", lambda entry: paired(entry.beside, entry.measure.decimals))


def numbers_table(ledger: Ledger) -> Table:
    """The paper's numbers of one experiment, with ours."""
    (paper,), entries = ledger.papers.values(), ledger.numbers
    parts = row_parts(paper.rows)
    columns = [
        *(Column(name, partial(row_part, name), left=True) for name in parts),
        MEASURE if several(entries) else None,
        Column("paper", lambda entry: printed(entry.row, entry.paper)),
        Column("ours", lambda entry: spread(entry.ours.values(), entry.measure.decimals)),
        *(DIFFERENCE, VERDICT, COST),
    ]
    return table(columns, entries, grouped=len(parts))


def row_part(part: str, entry: Entry) -> str:
    return ROW_PARTS[part](entry.row) if entry.row else ""


def cell_text(texts: Mapping[str, str], entry: Entry) -> str:
    return texts[entry.cell.first.name] if entry.cell else ""


def claims_table(ledger: Ledger) -> Table:
    """The paper's claims of one experiment that name two rows."""
    (paper,), claims = ledger.papers.values(), [claim for claim in ledger.claims if claim.group is None]

    def both(claim: ClaimEntry) -> str:
        key = (claim.measure.metric, claim.measure.statistic)
        return " < ".join(printed(row, row.value(*key)) for row in claim.rows)

    def lower(claim: ClaimEntry) -> str:
        signs = sign_test(claim.beside.differences)
        return f"{signs.lower} of {signs.n}" if claim.beside.seeds else MISSING

    columns = [
        Column("claim", lambda claim: claim_text(claim.claim), left=True),
        Column("lower", lambda claim: row_name(claim.rows[0], paper.rows), left=True),
        Column("higher", lambda claim: row_name(claim.rows[1], paper.rows), left=True),
        MEASURE if several(claims) else None,
        *(Column("paper", both), DIFFERENCE, Column("seeds lower", lower)),
        *(Column("p", lambda claim: probability(claim.beside)), VERDICT),
    ]
    return table(columns, claims)


def group_table(group: Group, ledger: Ledger) -> Table:
    """Cells that are not comparable. Wide: a line a cell, with a column a measure; else a line a cell and measure."""
    entries = [entry for entry in ledger.entries if entry.group is group]
    items = [entry for entry in entries if entry.measure in group.compared]
    names = {"ERM": is_erm, "mixup": is_mixup}
    to = next((f" to {name}" for name, applies in names.items() if any(applies(cell.settings) for cell in group.cells)), "")
    has_rows = group.experiment in ledger.papers and bool(ledger.papers[group.experiment].rows)
    ours = {(entry.cell.first.name, entry.measure): entry.ours for entry in entries if entry.cell}

    def number(measure: Measure, entry: Entry) -> str:
        return spread(ours[entry.cell.first.name, measure].values(), measure.decimals) if entry.cell else MISSING

    def words(entry: Entry) -> str:
        return "not comparable" + (f"; {direction(entry.direction)}" if entry.direction else "")

    columns = [
        *(Column(title, partial(cell_text, texts), left=True) for title, texts in group.columns.items()),
        None if group.wide else MEASURE,
        *(Column(measure.title, partial(number, measure)) for measure in (group.measures if group.wide else ())),
        None if group.wide else Column("ours", lambda entry: number(entry.measure, entry)),
        Column(f"difference{to}", DIFFERENCE.text),
        Column("p", lambda entry: probability(entry.beside, entry.measure.sign)),
        Column("paper (orientation)", lambda entry: printed(entry.row, entry.paper) + (entry.remark if entry.paper else ""))
        if has_rows
        else None,
        Column("verdict", words, left=True) if has_rows else None,
        COST,
    ]
    return table(columns, items, grouped=0 if group.wide else len(group.columns))


def group_claims_table(group: Group, ledger: Ledger) -> Table:
    """The paper's other claims, as far as both rows have a cell in the group."""
    columns = [
        Column("claim", lambda claim: claim.claim.text, left=True),
        Column("lower", lambda claim: group.names[claim.cells[0].first.name], left=True),
        Column("higher", lambda claim: group.names[claim.cells[1].first.name], left=True),
        *(MEASURE, DIFFERENCE, Column("seen here", lambda claim: direction(claim.beside), left=True)),
    ]
    return table(columns, [claim for claim in ledger.claims if claim.group is group], grouped=1)


def caption(group: Group) -> str:
    """What all cells of a group have in common, and what one would not expect of their training."""
    nets = {net(cell.settings) for cell in group.cells}
    epochs = {length(cell.settings) for cell in group.cells}
    data = [
        {f"{cell.first.record['data'][f'{part}_count']:,} {name} examples" for cell in group.cells}
        for part, name in (("train", "training"), ("test", "test"))
        if f"{part}_count" in group.cells[0].first.record["data"]
    ]
    near = {cell.settings["mixup.neighbours"] for cell in group.cells if cell.settings.get("mixup.partner") == "nearest"}
    common = ", ".join(texts.pop() for texts in (nets, *data, epochs) if len(texts) == 1)
    remarks = [
        *uncropped(cell.settings for cell in group.cells),
        *(f"a near partner is one of the {n} nearest" for n in sorted(near)),
    ]
    text = "; ".join([common, *remarks])
    of = f" Difference and p are of: {group.headline.title}." if group.wide and len(group.measures) > 1 else ""
    return f"{text[:1].upper()}{text[1:]}.{of}"


def length(settings: Settings) -> str:
    iterations = settings.get("gan.iterations")
    return f"{iterations:,} iterations" if iterations else f"{settings['trainer.epochs']} epochs"


# -- tables over all experiments -----------------------------------------------------------------------------------------


def short_title(ledger: Ledger, experiment: str) -> str:
    title = experiment_title(experiment, ledger.papers)
    return title.partition(",")[0] if experiment in ledger.papers else title


def experiments_table(ledger: Ledger, *, words: bool) -> Table:
    """A line an experiment of the paper. words: a column for each verdict, and lines for experiments without a page."""
    parts = {name: ledger.of(name) for name in ledger.papers}

    def count(word: Word, name: str) -> str:
        return count_text(parts[name].counts[word])

    columns = [
        Column(
            "experiment", lambda name: short_title(ledger, name), True, lambda name: name if parts[name].entries else None
        ),
        Column("numbers", lambda name: count_text(len(parts[name].numbers))),
        *(Column(word, partial(count, word)) for word in (WORDS if words else ())),
        None if words else Column("judged", lambda name: str(parts[name].judged) if parts[name].numbers else MISSING),
        None if words else Column("verdicts", lambda name: verdict_counts(parts[name].counts) or MISSING, left=True),
        Column("runs not comparable", lambda name: count_text(parts[name].not_comparable)),
        Column("directions seen there", lambda name: directions_text(parts[name]) or MISSING),
    ]
    return table(columns, [name for name in parts if words or parts[name].entries])


def verdict_counts(counts: Mapping[Any, int], but: Sequence[str] = UNJUDGED) -> str:
    """`2 reproduced, 1 undecided`."""
    return ", ".join(f"{counts[word]} {word}" for word in WORDS if counts[word] and word not in but)


def directions_text(ledger: Ledger) -> str:
    """`29 of 58`."""
    return f"{sum(ledger.directions)} of {len(ledger.directions)}" if ledger.directions else ""


def all_claims_table(ledger: Ledger) -> Table:
    """A line a claim in words: how many pairs of rows it is made of, and what the rules say of them."""
    groups: dict[tuple[str, str], list[ClaimEntry]] = {}
    for claim in ledger.claims:
        if claim.group is None:
            groups.setdefault((claim.experiment, claim.claim.text), []).append(claim)

    def verdicts(same: Sequence[ClaimEntry]) -> str:
        words = [claim.verdict.word for claim in same if claim.verdict]
        return verdict_counts({word: words.count(word) for word in WORDS}, ()) if len(same) > 1 else str(same[0].verdict)

    columns = [
        Column("experiment", lambda same: short_title(ledger, same[0].experiment), left=True),
        Column("claim", lambda same: same[0].claim.text, left=True),
        Column("pairs", lambda same: str(len(same))),
        Column("verdict", verdicts, left=True),
    ]
    return table(columns, groups.values(), grouped=1)


def others_table(ledger: Ledger) -> Table:
    """A line an experiment that the paper has nothing of."""
    runs = {
        name: sum(len(cell.runs) for cell in ledger.of(name).cells)
        for name in ledger.experiments
        if name not in ledger.papers
    }
    columns = [
        Column("experiment", lambda name: short_title(ledger, name), True, lambda name: name),
        Column("runs", lambda name: str(runs[name])),
    ]
    return table(columns, runs)
