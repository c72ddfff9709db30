"""
Which category, and how probable?
=================================

A classifier that is right nine times of ten should say 90 %. ``ConditionalClassifier`` gives
probabilities that can be taken at their word. Its route through Bayes' theorem also knows when an
input is of no category at all.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import train_test_split

from neurolp import ConditionalClassifier
from neurolp.evaluation.metrics import reliability

X, label = load_digits(return_X_y=True)
X += np.random.default_rng(0).uniform(-0.5, 0.5, X.shape)  # whole numbers have no density
X, X_test, label, label_test = train_test_split(X, label, train_size=500, random_state=0)

model = ConditionalClassifier(random_state=0).fit(X, label)
p = model.predict_proba(X_test)
print(f"accuracy {accuracy_score(label_test, p.argmax(axis=1)):.3f}")
print(f"log-loss {log_loss(label_test, p):.3f} nats")

# %%
# Mean confidence beside the share of right answers:
found = reliability(p.max(axis=1), p.argmax(axis=1) == label_test, n_bins=5)
for said, was, n in zip(found.confidence, found.frequency, found.counts, strict=True):
    if n:
        print(f"{n:4d} labels: said {said:.1%}, right {was:.1%}")

# %%
# With ``route="bayes"`` each class has a density, and p(x) is their sum: images of noise have none.
# Fewer slices than usual keep this example short.
from neurolp import BrainDensity

density = BrainDensity(constructions=["brain"], max_slices=10, random_state=0)
bayes = ConditionalClassifier(route="bayes", density=density, random_state=0).fit(X, label)
noise = np.random.default_rng(1).permuted(X_test, axis=1)

fig, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
for rows, name in ((X_test, "digits"), (noise, "pixels shuffled")):
    log_p = np.maximum(bayes.score_samples(rows), -600)
    ax.hist(log_p, np.linspace(-600, 0, 60), alpha=0.7, label=name)
ax.set(xlabel="log p(x) (nats)", ylabel="images", yscale="log")
ax.legend(frameon=False)
