"""
Predict text character by character
===================================

Symbols are predicted by what followed the same context before: the last characters, the word so
far. The text is a licence that ships with scikit-learn's data descriptions.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn import datasets

from neurolp import CategoricalSensor, StreamBrain

loaders = (datasets.load_breast_cancer, datasets.load_wine, datasets.load_diabetes)
loaders += (datasets.load_digits, datasets.load_iris, datasets.load_linnerud)
text = "".join(load().DESCR for load in loaders).lower()
characters = sorted(set(text))
print(f"{len(text)} characters, {len(characters)} different ones")

# %%
# One pass; each character is predicted before it is seen.
brain = StreamBrain(CategoricalSensor(characters, "character"), random_state=0)
bits = brain.run(list(text)).total / np.log(2)
print(f"{bits.mean():.2f} bits a character; {np.log2(len(characters)):.2f} if all were alike")

fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
ax.plot(np.convolve(bits, np.ones(500) / 500, mode="valid"))
ax.set(xlabel="character", ylabel="bits a character (mean of 500)")

# %%
# What may come next? The probabilities of all characters sum to one.
brain.run(list("the number of instanc"))
likely = sorted(brain.predict_proba_one()["character"].items(), key=lambda item: -item[1])
print({character: round(p, 3) for character, p in likely[:4]})

# %%
# A dream, each character sampled from the prediction:
print("".join(characters[int(k)] for k in brain.dream(200, random_state=0)[:, 0]))
