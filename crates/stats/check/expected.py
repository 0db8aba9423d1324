"""Writes expected.json: inputs, and what SciPy, NumPy and statsmodels make of them.

tests/against_scipy.rs holds the crate against it. To write it anew:

    python3 -m venv venv
    venv/bin/pip install -r requirements.txt
    venv/bin/python expected.py

Inputs are drawn from fixed seeds, and kept with the results, so the test needs no Python.
"""

import json
import pathlib
import platform

import numpy as np
import scipy
import statsmodels
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.tsa.stattools import acf

random = np.random.default_rng(2023)


def pairs_of_samples():
    """Name, control and treatment: sizes from 2 up, equal and unequal, ties, offsets, tiny p."""
    normal = lambda n, mean=0.0, sd=1.0: random.normal(mean, sd, n).round(6)
    yield "two values each", [1.0, 2.0], [2.5, 4.5]
    yield "two against two, crossed", [1.0, 4.0], [2.0, 3.0]
    yield "two against nine", normal(2), normal(9, 0.5)
    yield "eight each, no ties", normal(8), normal(8, 1.0)
    yield "eight against 300, no ties", normal(8), normal(300, 0.3)
    yield "nine each, no ties", normal(9), normal(9, 1.0)
    yield "eight against 700, no ties", normal(8), normal(700, 0.3)
    yield "ties within and between", [1, 1, 2, 2, 2, 3, 5, 5], [2, 2, 3, 3, 3, 4, 5, 9, 9]
    yield "few distinct values", random.integers(0, 3, 60), random.integers(0, 4, 45)
    yield "all ties but one", [7] * 12, [7] * 11 + [8]
    yield "equal means", [1.0, 2.0, 3.0, 4.0, 5.5], [5.5, 4.0, 3.0, 2.0, 1.0]
    yield "unequal spread", normal(40, 10.0, 0.1), normal(12, 10.5, 3.0)
    yield "large offset", normal(50, 1e4, 1.0), normal(50, 1e4 + 0.4, 1.0)
    yield "far apart", normal(200), normal(200, 6.0)
    yield "block means", normal(40, 2795.5, 12.0), normal(40, 3082.0, 12.0)


def t_test(outcome):
    return {"t": outcome.statistic, "df": outcome.df, "p": outcome.pvalue}


def two_samples(name, control, treatment):
    a, b = np.asarray(control, float), np.asarray(treatment, float)
    n, m = len(a), len(b)
    pooled = np.sqrt(((n - 1) * a.var(ddof=1) + (m - 1) * b.var(ddof=1)) / (n + m - 2))
    # As the crate decides: exact without ties where the smaller has at most 8, and both at most 500.
    untied = len(np.unique(np.concatenate([a, b]))) == n + m
    method = "exact" if untied and min(n, m) <= 8 and n + m <= 500 else "asymptotic"
    u = stats.mannwhitneyu(b, a, alternative="two-sided", method=method)
    smaller = (b[:, None] < a).sum()
    larger = (b[:, None] > a).sum()
    return {
        "name": name,
        "control": a.tolist(),
        "treatment": b.tolist(),
        "pooled_sd": pooled,
        "student": t_test(stats.ttest_ind(b, a)),
        "welch": t_test(stats.ttest_ind(b, a, equal_var=False)),
        "welch_ci95": list(stats.ttest_ind(b, a, equal_var=False).confidence_interval()),
        "mann_whitney": {"u": u.statistic, "p": u.pvalue, "exact": method == "exact"},
        "cliffs_delta": (larger - smaller) / (n * m),
    }


def summaries():
    """Moments alone, of sets too large to keep. The first are those of the paper's table."""
    for n, mean, sd, m, other_mean, other_sd in [
        (46000, 2.7955, 0.45, 46000, 2.7975, 0.54),
        (46000, 2.7955, 0.45, 46000, 2.80, 0.54),
        (46000, 2.7955, 0.45, 46000, 2.83, 0.54),
        (10_000_000, 100.0, 30.0, 9_000_000, 100.02, 31.0),
        (10_000_000, 100.0, 30.0, 9_000_000, 100.2, 31.0),
        (2, 1.0, 0.1, 46000, 1.2, 0.5),
    ]:
        arguments = dict(mean1=other_mean, std1=other_sd, nobs1=m, mean2=mean, std2=sd, nobs2=n)
        student = stats.ttest_ind_from_stats(**arguments)
        welch = stats.ttest_ind_from_stats(**arguments, equal_var=False)
        yield {
            "control": {"n": n, "mean": mean, "sd": sd},
            "treatment": {"n": m, "mean": other_mean, "sd": other_sd},
            "student": {"t": student.statistic, "p": student.pvalue},
            "welch": {"t": welch.statistic, "p": welch.pvalue},
        }


def t_distribution():
    degrees = [1, 2, 2.5, 3, 9, 19, 45, 100, 499, 501, 1000, 19_999, 20_001, 91_998, 4e6]
    return {
        "tails": [
            {"df": df, "t": t, "p": 2 * stats.t.sf(t, df)}
            for df in degrees
            for t in [0.01, 0.5, 1, 1.5, 2, 3, 5, 10, 30]
        ],
        "quantiles": [
            {"df": df, "probability": p, "t": stats.t.ppf(p, df)}
            for df in degrees
            for p in [0.005, 0.025, 0.2, 0.6, 0.8, 0.95, 0.975, 0.995]
        ],
    }


def one_sample_intervals():
    for n in [2, 3, 10, 40]:
        values = random.normal(300, 20, n).round(4)
        outcome = stats.ttest_1samp(values, 0.0).confidence_interval()
        yield {"values": values.tolist(), "ci95": [outcome.low, outcome.high]}


def correlations():
    for name, n, digits in [("no ties", 60, 6), ("ties", 80, 0), ("three pairs", 3, 6)]:
        x = random.normal(10, 3, n).round(digits)
        y = (0.4 * x + random.normal(0, 2, n)).round(digits)
        rank = stats.spearmanr(x, y)
        slope = stats.theilslopes(y, x, alpha=0.95)
        yield {
            "name": name,
            "x": x.tolist(),
            "y": y.tolist(),
            "spearman": {"rho": rank.statistic, "p": rank.pvalue},
            "theil_sen": {
                "slope": slope.slope,
                "intercept": slope.intercept,
                "ci95": [slope.low_slope, slope.high_slope],
            },
        }


def power():
    """Power of the two-sided t-test at 0.05, from the noncentral t distribution."""
    for df in [1, 2, 5, 9, 19, 39, 199, 5000]:
        critical = stats.t.ppf(0.975, df)
        for effect in [0.5, 2.0, 2.8, 4.0] + ([16.0] if df == 1 else []):
            upper = stats.nct.sf(critical, df, effect)
            lower = stats.nct.cdf(-critical, df, effect)
            yield {"df": df, "effect_in_errors": effect, "power": upper + lower}


def autocorrelations():
    for r in [-0.3, 0.0, 0.5, 0.9]:
        noise = random.normal(0, 1, 200)
        values = [noise[0]]
        for shock in noise[1:]:
            values.append(r * values[-1] + shock)
        values = np.round(values, 6)
        yield {"values": values.tolist(), "lag1": acf(values, nlags=1)[1]}


def holm():
    for p_values in [[0.01, 0.04, 0.03, 0.005], [0.2, 0.2, 0.9], [0.5], [1e-12, 0.04, 0.05]]:
        adjusted = multipletests(p_values, method="holm")[1]
        yield {"p": p_values, "adjusted": adjusted.tolist()}


def quantiles():
    values = random.lognormal(0, 1, 37).round(6)
    wanted = [0.0, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0]
    yield {
        "values": values.tolist(),
        "quantiles": [{"q": q, "value": np.quantile(values, q)} for q in wanted],
    }


def clearest_split(ranks):
    """The split whose sides' mean ranks differ most, by the standard error of that in random order."""
    n = len(ranks)
    splits = np.arange(3, n - 2)
    before = np.array([ranks[:k].mean() for k in splits])
    after = np.array([ranks[k:].mean() for k in splits])
    errors = np.sqrt(ranks.var(ddof=1) * n / (splits * (n - splits)))
    z = np.abs(before - after) / errors
    return int(splits[z.argmax()]), z.max()


def inflation(ranks):
    moves = np.diff(ranks)
    farthest = 5 * np.median(np.abs(moves))
    moves = moves.clip(-farthest, farthest)
    r = np.clip(1 + 2 * (moves[1:] * moves[:-1]).sum() / (moves**2).sum(), 0, 0.8)
    return np.sqrt((1 + r) / (1 - r))


def last_change(values, inflation):
    """Where the last change of level is; None if other random orders might say otherwise."""
    start = 0
    while True:
        ranks = stats.rankdata(values[start:])
        at, z = clearest_split(ranks)
        orders = [clearest_split(random.permutation(ranks))[1] for _ in range(999)]
        p = (1 + sum(np.array(orders) >= z / inflation)) / 1000
        if 0.004 < p < 0.02:
            return None
        if p > 0.01:
            return start
        start += at
        if len(values) - start < 10:
            return start


def warm_ups():
    for name, levels in [
        ("steps", [(30, 4.0), (25, 1.5), (80, 0.0)]),
        ("none", [(90, 1.0)]),
        ("up and down", [(20, 0.0), (20, 3.0), (40, 0.0)]),
        ("decay", [(5, 5.0 * 0.6**step) for step in range(24)]),
    ]:
        values = np.concatenate([np.full(n, level) for n, level in levels])
        for digits in [6, 0]:
            ends = None
            while ends is None:
                noisy = (values + random.normal(0, 1, len(values))).round(digits)
                ends = last_change(noisy, inflation(stats.rankdata(noisy)))
            yield {"name": name, "values": noisy.tolist(), "ends": ends}


def main():
    expected = {
        "made_with": {
            "script": "crates/stats/check/expected.py",
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
            "statsmodels": statsmodels.__version__,
        },
        "two_samples": [two_samples(*sample) for sample in pairs_of_samples()],
        "summaries": list(summaries()),
        "t_distribution": t_distribution(),
        "one_sample_intervals": list(one_sample_intervals()),
        "correlations": list(correlations()),
        "power": list(power()),
        "autocorrelations": list(autocorrelations()),
        "holm": list(holm()),
        "quantiles": list(quantiles()),
        "warm_ups": list(warm_ups()),
    }
    path = pathlib.Path(__file__).with_name("expected.json")
    lines = [f'"{part}": {json.dumps(expected[part], allow_nan=False)}' for part in expected]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{path}: {path.stat().st_size} bytes")


main()
