"""
Draw new rows that look like mine
=================================

A table that must not leave the house, or is too small to test a program with: draw another from its
density. Names, dtypes, categories and the grid of numbers are those of the table.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_iris

from neurolp import BrainDensity

data = load_iris(as_frame=True)
table = data.data.assign(species=data.target.map(dict(enumerate(data.target_names))))
density = BrainDensity(random_state=0).fit(table)
new = density.sample(300)
print(new.dtypes)
print(new.head())

# %%
# Columns are alike, and so is what they have to do with one another.
x, y = "petal length (cm)", "petal width (cm)"
fig, axes = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained", sharex=True, sharey=True)
for ax, frame, title in zip(axes, (table, new), ("the table", "drawn"), strict=True):
    for species, rows in frame.groupby("species", observed=True):
        ax.plot(rows[x], rows[y], ".", alpha=0.6, label=species)
    ax.set(title=title, xlabel=x)
axes[0].set_ylabel(y)
axes[0].legend(frameon=False)

# %%
# Are some rows copies? A grid of 0.1 cm leaves some equal by chance; the table has equal rows itself.
values = [frame.drop(columns="species").to_numpy().round(1) for frame in (table, new)]
same = (values[1][:, None] == values[0]).all(axis=2).any(axis=1)
repeated = len(table) - len(np.unique(values[0], axis=0))
print(f"{same.sum()} of {len(new)} drawn rows are in the table, which repeats {repeated} itself")
