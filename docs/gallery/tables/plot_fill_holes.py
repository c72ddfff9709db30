"""
Fill holes in a survey
======================

Answers of a survey are missing. One density of whole rows answers for all of them:
draws for each hole, given what the same person did answer.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes

from neurolp import BrainDensity

survey = load_diabetes(as_frame=True, scaled=False).frame
survey = survey[["age", "sex", "bmi", "target"]].iloc[:250]
survey["sex"] = survey["sex"].map({1.0: "a", 2.0: "b"})

rng = np.random.default_rng(0)
missing = rng.random(survey.shape) < [0.1, 0.1, 0.1, 0.2]
with_holes = survey.mask(missing)
print(with_holes.head())

# %%
# The kinds of the columns are inferred. Rows with holes are learned from, not thrown away.
density = BrainDensity(random_state=0).fit(with_holes)
print(density.columns_)

# %%
# ``impute`` puts one value into each hole; ``sample_conditional`` draws several, and their
# spread says how sure they are. For a text there are probabilities.
print(density.impute(with_holes.head()))
column = "target"
holed = with_holes[with_holes[column].isna()]
draws = density.sample_conditional(holed, 20, random_state=0)[
    column
]  # the index has the levels sample and row

# %%
# How good are they? The values that were taken away are known here. The dots would lie on the line
# if the other answers told everything; bars hold 80 % of the draws.
low, middle, high = np.quantile(draws.unstack("row"), [0.1, 0.5, 0.9], axis=0)
true = survey.loc[holed.index, column]

fig, ax = plt.subplots(figsize=(6, 4.2), layout="constrained")
ax.errorbar(true, middle, [middle - low, high - middle], fmt="o", alpha=0.7, label="draws")
ax.plot([25, 346], [25, 346], color="0.5", ls="--", label="what was answered")
ax.set(xlabel="true value", ylabel="filled in, given the other answers")
ax.legend(frameon=False)
print(f"inside the bars: {np.mean((low <= true) & (true <= high)):.0%} of {len(true)}")
