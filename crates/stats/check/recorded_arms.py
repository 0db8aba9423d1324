"""Prints what SciPy makes of the two arms that tests/system/analyze.rs generates: its expected values."""

import numpy as np
import scipy
from scipy import stats

i = np.arange(5000)
baseline = 2.0 + ((i * 7919) % 1009) / 1009 + ((i // 500) * 37 % 10) / 50
treatment = 2.05 + ((i * 104729) % 997) / 997 + ((i // 500) * 13 % 10) / 40
baseline, treatment = baseline[1000:], treatment[1000:]

print("SciPy", scipy.__version__)
print("over requests")
outcome = stats.ttest_ind(treatment, baseline)
print(" means", baseline.mean(), treatment.mean())
print(" medians", np.median(baseline), np.median(treatment))
print(" pooled sd", np.sqrt((baseline.var(ddof=1) + treatment.var(ddof=1)) / 2))
print(" t", outcome.statistic, "p", outcome.pvalue, outcome.confidence_interval())
print(" Cliff's delta", 2 * stats.mannwhitneyu(treatment, baseline).statistic / 4000**2 - 1)
print("over means of 10 blocks")
baseline, treatment = (arm.reshape(10, 400).mean(axis=1) for arm in (baseline, treatment))
trimmed = stats.ttest_ind(treatment, baseline, equal_var=False, trim=0.2)
# A winsorised variance has fewer degrees of freedom than Yuen gives it: crates/stats/src/location.rs.
df = 0.81 * trimmed.df
difference = stats.trim_mean(treatment, 0.2) - stats.trim_mean(baseline, 0.2)
half_width = stats.t.ppf(0.975, df) * difference / trimmed.statistic
print(" t", trimmed.statistic, "p", 2 * stats.t.sf(trimmed.statistic, df), "df", df)
print(" difference", difference, difference - half_width, difference + half_width)
ranks = stats.mannwhitneyu(treatment, baseline)
print(" U", ranks.statistic, "p", ranks.pvalue)
