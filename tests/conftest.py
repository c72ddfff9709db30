import os
import signal
from pathlib import Path

import matplotlib as mpl
from hypothesis import settings

mpl.use("Agg")
# Compilation of the first kernel call is slow and says nothing about the example.
settings.register_profile("laws", deadline=None, max_examples=25, derandomize=True)
settings.load_profile("laws")
# A shell ignores Ctrl-C for what it starts in the background, and so would all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Commands that tests start, in whatever folder, are those of the tree that is tested.
os.environ["PYTHONPATH"] = str(Path(__file__).parent.parent)
