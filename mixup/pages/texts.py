"""How numbers, differences, verdicts and costs are written in tables, and what is written around these."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from statistics import fmean, stdev

from mixup.ledger.cells import Cell, Settings, distinct, is_erm, is_mixup, uncropped
from mixup.ledger.effects import CLARITIES, clarity_of, effects
from mixup.ledger.entries import WORDS, ClaimEntry, Group, Ledger, runs_in
from mixup.ledger.evidence import Evidence
from mixup.ledger.inference import Paired, Word, sign_test
from mixup.ledger.metrics import Measure
from mixup.ledger.names import MISSING, experiment_title, net
from mixup.ledger.paper import Claim, Row, Value
from mixup.run.display import duration

UNJUDGED: tuple[Word, ...] = ("recipe not stated", "too few seeds", "not run")
FEWEST_FOR_P = 6  # seeds: of fewer no exact sign test is below 0.02


def spread(values: Iterable[float], decimals: int = 2, remark: str = "") -> str:
    """`4.24 ± 0.05 (n=3)`, the standard deviation over seeds with n - 1. remark: about n."""
    numbers = list(values)
    if not numbers:
        return MISSING
    std = f" ± {stdev(numbers):.{decimals}f}" if len(numbers) > 1 else ""
    return f"{fmean(numbers):.{decimals}f}{std} (n={len(numbers)}{remark})"


def measured(cell: Cell | None, measure: Measure, planned: Collection[int] = ()) -> str:
    """`spread` of a cell's runs, and how many of them diverged. planned: the seeds that it should have, and a remark, as in
    `(n=3 of 5 planned)`, says where it lacks some."""
    if cell is None:
        return MISSING
    values = cell.values(measure)
    there, remark = len(values.keys() & planned), ""
    if there < len(planned):
        remark = f" of {len(planned)} planned" if there == len(values) else f", {there} of {len(planned)} planned"
    diverged = f", {cell.diverged} diverged" if cell.diverged else ""
    return spread(values.values(), measure.decimals, remark) + diverged


def paired(pairs: Paired | None, decimals: int = 2) -> str:
    """`-1.29 [-1.51, -1.07]`, the mean difference and its interval."""
    if pairs is None or pairs.interval is None:
        return MISSING
    mean = pairs.interval
    ends = f" [{mean.low:+.{decimals}f}, {mean.high:+.{decimals}f}]" if mean.low is not None else ""
    return f"{mean.mean:+.{decimals}f}{ends}"


def each_seed(pairs: Paired | None, sign: int = 1, decimals: int = 2) -> str:
    """`-1.20 -0.90 -1.51`, by rising seed. From six seeds on, where the sign test can be clear, `9 of 10 lower, p 0.011`:
    exact, one-sided, that differences are below 0, or above with sign -1; without p where they are not independent."""
    if pairs is None or not pairs.seeds:
        return MISSING
    if len(pairs.seeds) < FEWEST_FOR_P:
        return " ".join(f"{value:+.{decimals}f}" for value in pairs.differences)
    signs = sign_test([sign * value for value in pairs.differences])
    p = f", p {signs.p:.3f}" if signs.p >= 0.0005 else ", p <0.001"
    return f"{signs.lower} of {signs.n} {'lower' if sign > 0 else 'higher'}{'' if pairs.overlap else p}"


def clarity(pairs: Paired | None) -> str:
    """Whether lower - higher is clearly as claimed; of runs that prove nothing of the paper, never a verdict."""
    return clarity_of(pairs.interval) if pairs and pairs.interval else MISSING


def printed(row: Row | None, value: Value | None) -> str:
    """The paper's number, marked where it is unverified, or quoted by the paper from others."""
    if row is None or value is None:
        return MISSING
    marks = [] if row.settings_verified or not value.verified else ["settings unverified"]
    marks += ["quoted"] if row.quoted else []
    return str(value) + "".join(f" ({mark})" for mark in marks)


def others(value: Value) -> str:
    """What others published for the number: `5.53 hongyi-zhang/mixup, 5.48 tensorpack`."""
    return ", ".join(f"{number} {who}" for who, number in value.others.items()) or MISSING


def claim_text(claim: Claim) -> str:
    return claim.text if claim.verified else f"{claim.text} (unverified)"


def cost(cell: Cell | None) -> str:
    """`2.1 h, NVIDIA H100`: of one run."""
    return MISSING if cell is None else f"{duration(cell.seconds)}, {'; '.join(cell.devices)}"


def commit(run: Evidence, letters: int | None = 7) -> str:
    environment = run.record["environment"]
    return (environment["commit"] or "none")[:letters] + ("" if environment["dirty"] is False else " (changed)")


def counted(count: int, noun: str) -> str:
    """`1 run`, `1,234 runs`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


# -- an experiment's tables ----------------------------------------------------------------------------------------------


def printed_pair(claim: ClaimEntry) -> str:
    """`4.2 < 5.6`, the paper's numbers of a claim."""
    key = (claim.measure.metric, claim.measure.statistic)
    return " < ".join(printed(row, row.value(*key)) for row in claim.rows)


def difference_title(group: Group) -> str:
    """`difference to ERM`: to what the group's cells are compared with."""
    names = {"ERM": is_erm, "mixup": is_mixup}
    baselines = [name for name, applies in names.items() if any(applies(cell.settings) for cell in group.cells)]
    return " to ".join(["difference", *baselines[:1]])


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
    of = f" Differences are of: {group.headline.title}." if group.wide and len(group.measures) > 1 else ""
    return f"{text[:1].upper()}{text[1:]}.{of}"


def length(settings: Settings) -> str:
    iterations = settings.get("gan.iterations")
    return f"{iterations:,} iterations" if iterations else f"{settings['trainer.epochs']} epochs"


# -- tables over all experiments -----------------------------------------------------------------------------------------


def short_title(ledger: Ledger, experiment: str) -> str:
    title = experiment_title(experiment, ledger.papers)
    return title.partition(",")[0] if experiment in ledger.papers else title


def verdict_counts(counts: Mapping[Word, int], but: Sequence[Word] = ("too few seeds", "not run")) -> str:
    """`2 reproduced, 1 undecided`."""
    return ", ".join(f"{counts[word]} {word}" for word in WORDS if counts[word] and word not in but)


def clarities(ledger: Ledger, *, comparable: bool) -> str:
    """`9 clearly as claimed, 4 clearly opposite, 45 cannot tell`: of runs that are comparable with the paper's, or not, and
    where ERM fits what it trains on."""
    counts = Counter(one.clarity for one in effects(ledger) if one.fitted and (one.group is None) == comparable)
    return ", ".join(f"{counts[word]} {word}" for word in CLARITIES if counts[word])


def outcome(ledger: Ledger) -> str:
    """What has come out, in one to three sentences: of all experiments, or of one."""
    sentences, numbers = [], len(ledger.numbers)
    if not ledger.papers:
        sentences.append(f"The paper prints no number of this; {counted(distinct_runs(ledger), 'run')} of ours.")
    if numbers and len(ledger.papers) > 1:
        sentences.append(f"The paper prints or draws {numbers} numbers ({sources_text(ledger)}).")
    if ledger.judged:
        sentences.append(f"Of {numbers} numbers of the paper {verdict_counts(ledger.counts, UNJUDGED)}.")
    elif numbers:
        sentences.append("None of its numbers can be judged yet." if len(ledger.papers) > 1 else "No number is judged yet.")
    if count := ledger.counts["recipe not stated"]:
        sentences.append(f"{count} stand beside ours without a verdict, since the paper does not state what decides them.")
    small, own = clarities(ledger, comparable=False), clarities(ledger, comparable=True)
    if own:
        sentences.append(f"Of its claims, under the paper's recipe as far as it is stated: {own}.")
    if ledger.unprinted:
        sentences.append(f"{counted(ledger.unprinted, 'run')} at the paper's scale have no printed number to stand beside.")
    tested = runs_in(one.group for one in effects(ledger) if one.group and one.fitted)
    if small:
        runs = f"{counted(tested, 'run')} at a smaller scale or on other data"
        sentences.append(f"In {runs}, where ERM fits what it trains on, its claims, each in one measure, are: {small}.")
    if others := ledger.small - tested:
        more = " more" * bool(small)
        sentences.append(f"{counted(others, 'run')}{more} at a smaller scale or on other data have no claim to test.")
    if ledger.unfitted:
        sentences.append(unfitted(ledger))
    return " ".join(sentences)


def unfitted(ledger: Ledger) -> str:
    """What runs are worth where ERM, or without it any method, has not fitted its training examples."""
    errors = [error for group in ledger.groups for error in group.unfitted or ()]
    few, most = (f"{error:.0f}" for error in (min(errors), max(errors)))
    missed = few if few == most else f"{few} to {most}"
    runs = f"{counted(ledger.unfitted, 'run')} more test" if ledger.small else "These runs test"
    return (
        f"{runs} the machinery and say nothing of the paper's claims: at this size networks do not fit "
        f"(ERM, or without it any method, in the end misses {missed} % of its training examples in the mean)."
    )


def distinct_runs(ledger: Ledger) -> int:
    return distinct(run for cell in ledger.cells for run in cell.runs)


def sources_text(ledger: Ledger) -> str:
    """`119 seen in a source, 46 from memory`."""
    return ", ".join(f"{count} {source}" for source, count in ledger.sources.most_common())


def claims_in_words(ledger: Ledger) -> list[list[ClaimEntry]]:
    """The pairs of rows of each claim of the paper."""
    groups: dict[tuple[str, str], list[ClaimEntry]] = {}
    for claim in ledger.claims:
        if claim.group is None:
            groups.setdefault((claim.experiment, claim.claim.text), []).append(claim)
    return list(groups.values())


def claim_verdicts(claims: Sequence[ClaimEntry]) -> str:
    """Of all pairs of rows of one claim."""
    words = Counter(claim.verdict.word for claim in claims if claim.verdict)
    return verdict_counts(words, ()) if len(claims) > 1 else str(claims[0].verdict)
