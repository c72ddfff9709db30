"""neurolp: a brain-simulation engine for the learning principle.

All learning is estimating the probability of the input data. A network of nodes evolves in time,
a local log-likelihood rule is applied in every slice, and the trajectory goes to HDF5.
"""

import lazy_loader

__version__ = "0.1.0"

# The public names are those of __init__.pyi. Each is imported when it is first used.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
