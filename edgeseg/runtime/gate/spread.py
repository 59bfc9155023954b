"""Judges an absolute time by how far it wandered over several accepted runs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from edgeseg.runtime.gate.verdict import COST, Check

# Ten runs of a machine whose neighbour works a third of the time are all quiet ones in one case
# of sixty, and then every busy one would fail.
FEWEST = 20
# Chance that an unchanged run lies above the bound; a report has three or four such times.
ALARM = 0.0025
# A spread that hides a slowdown of so much says nothing of smaller ones.
WIDEST = 2.0


def judge_by_runs(name: str, value: float, before: Sequence[float], ratio: float) -> Check:
    """Judge a time against several runs of the baseline's.

    It fails where it lies more than `ratio` above all of them and above where one more run is to be
    expected: a prediction interval by Student's t of the logarithms (Hahn and Meeker, Statistical
    Intervals, 1991, section 4.7).

    Args:
        name: of the check.
        value: of the report.
        before: of the accepted runs, all above 0, FEWEST or more.
        ratio: largest growth.
    """
    logs = [math.log(each) for each in before]
    mean, spread = statistics.fmean(logs), statistics.stdev(logs)
    n = len(logs)
    reach = _student(1 - ALARM, n - 1) * spread * math.sqrt(1 + 1 / n)
    limit = max(math.exp(mean + reach), *before) * ratio
    found = f"{value:.6g}, {n} runs before lay from {min(before):.6g} to {max(before):.6g}"
    if value <= limit and reach > math.log(WIDEST):
        why = f"{found}, too far apart to tell a slower network from a busy machine"
        return Check(name, COST, value, limit, None, why, decides=False)
    return Check(name, COST, value, limit, value <= limit, f"{found}, expected at most {limit:.6g}")


def _student(share: float, freedom: int) -> float:
    """Return a quantile of Student's t (Hill, CACM 13, 1970, algorithm 396)."""
    n, p = float(freedom), 2 * (1 - share)
    if freedom == 1:
        return 1 / math.tan(p * math.pi / 2)
    if freedom == 2:
        return math.sqrt(2 / (p * (2 - p)) - 2)
    a = 1 / (n - 0.5)
    b = 48 / a**2
    c = ((20700 * a / b - 98) * a - 16) * a + 96.36
    d = ((94.5 / (b + c) - 3) / b + 1) * math.sqrt(a * math.pi / 2) * n
    y = (d * p) ** (2 / n)
    if y > 0.05 + a:
        x = statistics.NormalDist().inv_cdf(p / 2)
        y = x * x
        if freedom < 5:
            c += 0.3 * (n - 4.5) * (x + 0.6)
        c = (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b + c
        y = (((((0.4 * y + 6.3) * y + 36) * y + 94.5) / c - y - 3) / b + 1) * x
        y = a * y * y
        y = math.exp(y) - 1 if y > 0.002 else 0.5 * y * y + y
    else:
        y = ((1 / (((n + 6) / (n * y) - 0.089 * d - 0.822) * (n + 2) * 3) + 0.5 / (n + 4)) * y - 1
             ) * (n + 1) / (n + 2) + 1 / y  # fmt: skip
    return math.sqrt(n * y)
