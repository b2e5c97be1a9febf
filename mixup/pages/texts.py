"""How numbers, differences, directions and costs are written in tables, and the caption of a group of cells."""

from __future__ import annotations

from collections.abc import Iterable

from mixup.ledger.cells import Cell, Settings, uncropped
from mixup.ledger.entries import Group
from mixup.ledger.inference import Paired, interval, sign_test
from mixup.ledger.names import MISSING, net
from mixup.ledger.paper import Claim, Row, Value
from mixup.run.display import duration


def spread(values: Iterable[float], decimals: int = 2) -> str:
    """`4.24 ± 0.05 (n=3)`, the standard deviation over seeds with n - 1."""
    numbers = list(values)
    if not numbers:
        return MISSING
    mean, n = sum(numbers) / len(numbers), len(numbers)
    std = (sum((value - mean) ** 2 for value in numbers) / (n - 1)) ** 0.5 if n > 1 else None
    return f"{mean:.{decimals}f}" + ("" if std is None else f" ± {std:.{decimals}f}") + f" (n={n})"


def paired(pairs: Paired | None, decimals: int = 2) -> str:
    """`-1.29 [-1.51, -1.07]`, the mean difference and its interval."""
    if pairs is None or not pairs.differences:
        return MISSING
    found = interval(pairs.differences)
    ends = f" [{found.low:+.{decimals}f}, {found.high:+.{decimals}f}]" if found.low is not None else ""
    return f"{found.mean:+.{decimals}f}{ends}"


def probability(pairs: Paired | None, sign: int = 1) -> str:
    """Of the sign test, that differences are below 0, or above with sign -1."""
    if pairs is None or not pairs.seeds:
        return MISSING
    p = sign_test([sign * value for value in pairs.differences]).p
    return f"{p:.3f}" if p >= 0.0005 else "<0.001"


def direction(pairs: Paired | None) -> str:
    """Whether a claimed direction is seen in lower - higher, of runs that prove nothing of the paper: never a verdict."""
    if pairs is None or pairs.interval is None:
        return MISSING
    seen = "seen" if pairs.interval.mean < 0 else "not seen"
    return f"direction {seen}, n={len(pairs.seeds)}, p={probability(pairs)}"


def printed(row: Row | None, value: Value | None) -> str:
    """The paper's number, marked where it is unverified, or quoted by the paper from others."""
    if row is None or value is None:
        return MISSING
    marks = [] if row.settings_verified or not value.verified else ["settings unverified"]
    marks += ["quoted"] if row.quoted else []
    return str(value) + "".join(f" ({mark})" for mark in marks)


def claim_text(claim: Claim) -> str:
    return claim.text if claim.verified else f"{claim.text} (unverified)"


def cost(cell: Cell | None) -> str:
    """`2.1 h, NVIDIA H100`: of one run."""
    return MISSING if cell is None else f"{duration(cell.seconds)}, {'; '.join(cell.devices)}"


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
