"""The paper's linear and bounded forms: evolution, learning, estimators and defects."""
