"""Small-sample statistics over seeds, and the rules that turn them into verdicts: never by eye.

Errors are in percent, lower is better, and a difference a - b below 0 says that a is better. Seeds are independent draws,
and errors are taken as normal over them. Runs of one seed share initialisation, order and crops: differences are of pairs.

Cell: our mean against the number that the paper prints, m = `margin(number)`. The interval is the 90 % one, which lies
inside the margin exactly where two one-sided t tests at 5 % both say so (TOST, Schuirmann 1987). The paper's number may be
of one run, which scatters: only outside the 95 % prediction interval of one run, mean ± t s sqrt(1 + 1/n), do ours differ.

| verdict         | the first row that applies                                                               |
|-----------------|------------------------------------------------------------------------------------------|
| not run         | no run has finished                                                                      |
| too few seeds   | fewer than 3: one has no spread, and two agree by chance                                 |
| undecided       | no spread at all: coarse counting, or a seed without effect                              |
| reproduced      | the interval lies inside number - m ... number + m                                       |
| not reproduced  | the interval lies outside, on either side, and the number outside the prediction         |
|                 | interval: a lower error is not the paper's either                                        |
| undecided       | the interval lies outside, but one run scatters as far as the number                     |
| undecided       | the interval crosses an edge: more seeds would tell                                      |

Claim: "a has a lower error than b", over the seeds that both have. Lower is proven where the 95 % t interval of the
differences lies below 0, or by the exact sign test at 2.5 %: together wrong in at most 5 % of cases. Higher likewise.

| verdict         | the first row that applies                                                               |
|-----------------|------------------------------------------------------------------------------------------|
| not run         | a or b has no finished run                                                               |
| too few seeds   | fewer than 3 in common                                                                   |
| direction holds | lower is proven, and higher is not                                                       |
| not reproduced  | higher is proven, and lower is not                                                       |
| undecided       | neither is, or both are: an outlier against many small differences                       |

Row: one word for a cell and those claims that name it as the better one.

| verdict         | the first row that applies                                                               |
|-----------------|------------------------------------------------------------------------------------------|
| the cell's      | the cell is not run                                                                      |
| not reproduced  | a claim is: a number without its direction is no reproduction                            |
| reproduced      | the cell is                                                                              |
| direction holds | there are claims and all of them hold, whatever the number                               |
| the cell's      | otherwise                                                                                |

Runs at another scale, on other data or by another recipe than the paper's are "not comparable" and judged by no rule. Nor
are numbers of a "recipe not stated": what decides them is our choice.

Where each seed draws another split of the same rows (table 4), differences of seeds are not independent. Their interval then
has the corrected variance s^2 (1/n + test rows / training rows) of Nadeau and Bengio (2003), and they have no sign test.

Each word but "undecided" is wrong in at most 5 % of cases, the paper's number taken as exact. Where there is no difference,
a claim gets one of its two words in 5.0 % of cases with 5 seeds, 5.6 % with 10 and 6.9 % with 20 (simulated, normal). Tables
make no correction for their many cells. An unverified number is judged like any other, and marked as unverified beside its
verdict.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

FEWEST_SEEDS = 3
LEVEL = 0.95  # of every interval, but the 90 % one of a cell
LEAST_MARGIN = 0.3  # percentage points; `margin` says why
RELATIVE_MARGIN = 0.02
ROUNDING = 1e-9  # percentage points: differences of floats that should be equal differ by less

Judged = Literal["reproduced", "direction holds", "not reproduced", "undecided"]
Word = Judged | Literal["recipe not stated", "too few seeds", "not run", "not comparable"]


@dataclass(frozen=True)
class Interval:
    """The mean of n values and its Student-t interval; low and high are None without a spread, of one value or of equals."""

    mean: float
    low: float | None
    high: float | None
    n: int
    level: float

    def __str__(self) -> str:
        ends = "" if self.low is None or self.high is None else f" [{self.low:.2f}, {self.high:.2f}]"
        return f"{self.mean:.2f}{ends}"


@dataclass(frozen=True)
class Paired:
    """a - b for each common seed, rising. interval: None where there is no common seed. overlap: as for `interval`; unless
    it is 0, the differences are not independent, as the sign test takes them."""

    seeds: tuple[int, ...]
    differences: tuple[float, ...]
    interval: Interval | None
    overlap: float = 0.0


@dataclass(frozen=True)
class SignTest:
    """p: the chance of `lower` or more differences below 0 among n, were both signs as likely. n: all that are not 0."""

    p: float
    lower: int
    n: int


@dataclass(frozen=True)
class Verdict:
    """n: the seeds that it rests on. reason: the rule that applied, with its numbers."""

    word: Word
    n: int
    reason: str

    def __str__(self) -> str:
        return self.word if self.word in ("not run", "not comparable", "recipe not stated") else f"{self.word} (n={self.n})"


# -- estimates and tests -------------------------------------------------------------------------------------------------


def interval(values: Sequence[float], level: float = LEVEL, *, overlap: float = 0.0) -> Interval:
    """The mean with its two-sided t interval. Raises ValueError for no values, or one that is not finite.

    overlap: test rows / training rows, where the values are of overlapping splits of the same rows; see the head."""
    data = np.asarray(values, dtype=np.float64)
    if data.size == 0 or not np.isfinite(data).all():
        raise ValueError(f"values={list(values)}: give at least one, all of them finite")
    n, mean = len(data), float(data.mean())
    if np.ptp(data) < ROUNDING:
        return Interval(mean, None, None, n, level)
    half = float(stats.t.ppf((1 + level) / 2, n - 1) * data.std(ddof=1) * math.sqrt(1 / n + overlap))
    return Interval(mean, mean - half, mean + half, n, level)


def prediction(values: Sequence[float]) -> Interval:
    """Where one more run is expected, from two runs or more: mean ± t s sqrt(1 + 1/n)."""
    return interval(values, overlap=1.0)


def paired_difference(a: Mapping[int, float], b: Mapping[int, float], *, overlap: float = 0.0) -> Paired:
    """a - b over the seeds that both have. overlap: as for `interval`."""
    seeds = tuple(sorted(a.keys() & b.keys()))
    differences = tuple(a[seed] - b[seed] for seed in seeds)
    return Paired(seeds, differences, interval(differences, overlap=overlap) if seeds else None, overlap)


def sign_test(differences: Sequence[float]) -> SignTest:
    """Exact and one-sided, of "a is lower than b" for differences a - b. Zeros are dropped; without others, p is 1."""
    lower = sum(difference < -ROUNDING for difference in differences)
    n = sum(abs(difference) > ROUNDING for difference in differences)
    p = stats.binomtest(lower, n, alternative="greater").pvalue if n else 1.0
    return SignTest(float(p), lower, n)


def margin(value: float) -> float:
    """How far, in percentage points, a mean may lie from a printed error and still count as the same: 0.3, or 2 % of it.

    The paper prints one number, of one run as far as it says, rounded to 0.1: it misses its own expected error by about the
    spread of a run, and no number of our seeds makes that smaller.
    At least: independent runs of one recipe differ from the paper's number by 0.03 to 0.12 at errors of 4 to 6 % (CIFAR-10,
    PreAct ResNet-18: 4.24, 4.17 for 4.2, 5.53, 5.48 for 5.6), by 0.11 to 0.15 at 21 to 24 % (ImageNet, tensorpack's for the
    quoted baselines). The margin is twice that, and a little more.
    At most: 3.9, corrected to 4.2 since the authors could not repeat it, must not pass for 4.2. And one mean should not pass
    for ERM's number and for mixup's: 2 % keeps 22.1 and 23.6 of ResNet-50 apart (0.44 and 0.47), 5 % would not (1.1, 1.2).
    In a quarter of the paper's claims the two margins overlap all the same: there only pairs of seeds can tell.
    """
    return max(LEAST_MARGIN, RELATIVE_MARGIN * value)


# -- verdicts ------------------------------------------------------------------------------------------------------------


def cell_verdict(values: Sequence[float], number: float) -> Verdict:
    """The first table above. values: ours, one a seed; number: the paper's; both in percent."""
    n = len(values)
    if n == 0:
        return Verdict("not run", n, "no run has finished")
    if n < FEWEST_SEEDS:
        return Verdict("too few seeds", n, f"{n} of at least {FEWEST_SEEDS}")
    half = margin(number)
    return range_verdict(values, (number, number), half, f"{number:g} ± {half:.2f}")


def range_verdict(values: Sequence[float], printed: tuple[float, float], margin: float, text: str) -> Verdict:
    """Two one-sided t tests, each at 5 %, that the mean is as printed, from low to high, but for the margin.
    text: that range, in words."""
    ours, one_run = interval(values, 2 * LEVEL - 1), prediction(values)
    low, high = printed[0] - margin, printed[1] + margin
    if ours.low is None or ours.high is None:
        return Verdict("undecided", ours.n, f"all seeds have {ours}: no spread to judge by")
    reason = f"{100 * ours.level:.0f} % interval {ours}"
    if low < ours.low and ours.high < high:
        return Verdict("reproduced", ours.n, f"{reason} inside {text}")
    if ours.high < low or high < ours.low:
        assert one_run.low is not None
        assert one_run.high is not None
        reason = f"{reason} {'below' if ours.high < low else 'above'} {text}"
        scatter = f"where one run is expected in [{one_run.low:.2f}, {one_run.high:.2f}]"
        apart = one_run.high < printed[0] or printed[1] < one_run.low
        return Verdict("not reproduced" if apart else "undecided", ours.n, f"{reason}, {scatter}")
    return Verdict("undecided", ours.n, f"{reason} across an edge of {text}")


def claim_verdict(a: Mapping[int, float], b: Mapping[int, float]) -> Verdict:
    """The second table above: "a has a lower error than b", each by seed, in percent."""
    pairs = paired_difference(a, b)
    n, signs = len(pairs.seeds), sign_test(pairs.differences)
    numbers = f"difference {pairs.interval}, {signs.lower} of {n} below 0"
    if not a or not b:
        return Verdict("not run", n, "no run has finished" if not a and not b else "runs of one side alone have finished")
    if n < FEWEST_SEEDS:
        return Verdict("too few seeds", n, f"{n} in common of at least {FEWEST_SEEDS}")
    lower, higher = (proven_lower([sign * value for value in pairs.differences]) for sign in (1, -1))
    if lower == higher:
        return Verdict("undecided", n, numbers)
    return Verdict("direction holds" if lower else "not reproduced", n, numbers)


def proven_lower(differences: Sequence[float]) -> bool:
    """By the two-sided t interval or by the sign test, each at 2.5 %, for this side."""
    high = interval(differences).high
    return (high is not None and high < 0) or sign_test(differences).p <= (1 - LEVEL) / 2


def row_verdict(cell: Verdict, claims: Sequence[Verdict]) -> Verdict:
    """The third table above. claims: of those that name the row as the better one."""
    if cell.word == "not run":
        return cell
    contradicted = [claim for claim in claims if claim.word == "not reproduced"]
    if contradicted:
        return contradicted[0]
    if cell.word != "reproduced" and claims and all(claim.word == "direction holds" for claim in claims):
        return Verdict("direction holds", min(claim.n for claim in claims), f"{claims[0].reason}; the number: {cell.reason}")
    return cell
