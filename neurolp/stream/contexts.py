"""First state of the contexts of symbols: which there are, and tables of their size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from neurolp.kernels.stream_contexts import SLOTS_TRIED
from neurolp.kernels.stream_counts import N_BUCKETS, N_DISTINCT, N_RUNS
from neurolp.kernels.stream_match import MATCHED, N_LENGTHS, N_MATCH
from neurolp.kernels.stream_mixing import N_FIRST, N_OF_SYMBOLS, N_SECOND, N_SINGLE
from neurolp.kernels.stream_state import Contexts, SymbolScratch
from neurolp.kernels.stream_words import (
    ALL_BESIDE,
    APOSTROPHE,
    BESIDE,
    BESIDE_AND_LAST,
    CONSONANT,
    DIGIT,
    LINE_END,
    N_BESIDE,
    N_CLASSES,
    N_WORDS,
    NONE,
    OTHER,
    PARAGRAPH,
    PATTERN,
    PREVIOUS_WORD,
    QUOTATION,
    QUOTE,
    SENTENCE,
    SENTENCE_END,
    SPACE,
    VOWEL,
    WORD,
    WORD_BEFORE,
)
from neurolp.stream.sensors import Place

MOVING = ("now", "recent", "known", "words", "match")  # what changes where nothing is learned

_EVERY_ORDER = 6  # up to this order; beyond it, every second
# Contexts of characters, and the order or kind of which each is a longer one.
_OF_CHARACTERS = (
    (WORD, 1), (PREVIOUS_WORD, WORD), (WORD_BEFORE, WORD), (SENTENCE, 1), (PARAGRAPH, WORD),
    (QUOTATION, 2), (PATTERN, 1),
)  # fmt: skip
_OF_SYMBOLS = _OF_CHARACTERS[:3]
_CLASSES = (
    (VOWEL, "aeiouyàâäáãåæèéêëìíîïòóôöõøœùúûüýÿ"),
    (QUOTE, '"“”„«»‹›'),
    (APOSTROPHE, "'‘’"),
    (SENTENCE_END, ".!?…"),
)
_RECENT = 32
_CONTEXT = 70  # bytes of a slot, its entries and its part of what passed
_LARGEST_WEIGHTS = 1 << 22  # weights of the neurons of a kind
_DISCOUNT, _PRIOR = 0.5, 0.3
_RUN, _MATCH, _SUM = 0.1, 1.0, 0.5


def class_of(character: str) -> int:
    """Class of a character, see :mod:`neurolp.kernels.stream_words`."""
    for number, members in _CLASSES:
        if character.lower() in members:
            return number
    if character.isalpha():
        return CONSONANT
    if character.isdigit():
        return DIGIT
    if character in "\n\r":
        return LINE_END
    return SPACE if character.isspace() else OTHER


def are_characters(labels: Sequence[Any]) -> bool:
    """Whether symbols are characters, some of them letters: they have words."""
    characters = all(isinstance(label, str) and len(label) == 1 for label in labels)
    return characters and any(label.isalpha() for label in labels)


def orders(max_order: int) -> list[int]:
    """Orders of the contexts: 0 .. 6, 8, 10 .. ``max_order``."""
    return [r for r in range(max_order + 1) if r <= _EVERY_ORDER or r % 2 == 0]


def draw_contexts(where: Sequence[Place], max_order: int, n_contexts: int) -> Contexts:
    """Contexts before the first step; sensors share ``n_contexts`` equally, none with 0."""
    mine = [p for p in where if p.symbols] if n_contexts else []
    number = np.full(len(where), -1)
    labels = [getattr(p.sensor, "labels", ()) for p in mine]
    characters = [are_characters(one) for one in labels]
    sizes = [p.n_outputs for p in mine]
    for v, place in enumerate(mine):
        number[where.index(place)] = v
    kinds = [_kinds(max_order, one, v) for v, one in enumerate(characters)]
    n_kinds, k, n = max(map(len, kinds), default=0), max(sizes, default=0), len(mine)
    each = max(n_contexts // max(n, 1), 1)
    slots = SLOTS_TRIED * -(-each // SLOTS_TRIED)
    kind, parent = np.full((n, n_kinds), NONE), np.full((n, n_kinds), -1)
    classes = np.zeros((n, k), np.int64)
    for v, those in enumerate(kinds):
        kind[v, : len(those)] = [a for a, _ in those]
        parent[v, : len(those)] = [b for _, b in those]
        if characters[v]:
            classes[v, : sizes[v]] = [class_of(label) for label in labels[v]]
        else:
            classes[v] = SPACE + np.arange(k) % (N_CLASSES - SPACE)
    n_inputs, entries = n_kinds + 2, 2 * slots
    own = np.array([len(those) + 2 for those in kinds])
    first_weight = np.repeat(1.0 / own, n_inputs).reshape(n, n_inputs)
    first_weight[:, n_kinds] = _SUM
    chosen = _choices(n_inputs, k)
    return Contexts(
        number=number,
        kind=kind,
        parent=parent,
        classes=classes,
        characters=np.array(characters, dtype=np.bool_),
        frequency=np.zeros((n, k), np.int64),
        separator=np.zeros(n, np.int64),
        now=np.full(n, -1),
        recent=np.zeros((n, max(_RECENT, max_order)), np.int64),
        known=np.zeros(n, np.int64),
        words=np.zeros((n, N_WORDS), np.int64),
        key=np.zeros((n, slots), np.uint64),
        total=np.zeros((n, slots), np.float32),
        distinct=np.zeros((n, slots), np.int32),
        latest=np.zeros((n, slots), np.int32),
        run=np.zeros((n, slots), np.int32),
        visits=np.zeros((n, slots), np.int32),
        first=np.zeros((n, slots), np.int32),
        symbol=np.zeros((n, entries), np.int32),
        counts=np.zeros((n, entries), np.float32),
        weight=np.zeros((n, entries), np.float32),
        following=np.zeros((n, entries), np.int32),
        free=np.zeros((n, 3), np.int64),
        discount=np.full((n, n_kinds, N_DISTINCT), np.log(_DISCOUNT / (1 - _DISCOUNT))),
        prior=np.full((n, n_kinds, N_DISTINCT), np.log(_PRIOR)),
        of_bucket=np.zeros((n, n_kinds, N_BUCKETS, N_BUCKETS)),
        of_run=np.full((n, n_kinds, N_RUNS), _RUN),
        of_match=np.full((n, N_LENGTHS), _MATCH),
        match=np.zeros((n, N_MATCH), np.int64),
        passed=np.zeros((n, max(each, MATCHED + 1)), np.int32),
        places=np.zeros((n, max(each // 2, 1)), np.int32),
        first_weight=first_weight,
        single=np.zeros((n, N_SINGLE, max(n_kinds, N_LENGTHS), n_inputs)),
        of_symbols=np.zeros((n, N_OF_SYMBOLS, chosen, n_inputs, k), np.float32),
        second=np.zeros((n, N_SECOND, max(chosen, n_kinds * N_LENGTHS), N_FIRST)),
        uses=np.zeros((n, N_FIRST, max(chosen, n_kinds, N_LENGTHS))),
        average=np.full((n, N_FIRST + 1), 1.0 / (N_FIRST + 1)),
    )


def symbol_scratch(contexts: Contexts, n_outputs: int) -> SymbolScratch:
    """Work arrays for contexts, or for none; ``n_outputs`` of all sensors."""
    n_kinds, n_inputs, k = contexts.kind.shape[1], contexts.first_weight.shape[1], n_outputs
    return SymbolScratch(
        code=np.zeros(n_kinds, np.uint64),
        slots=np.zeros(n_kinds, np.int64),
        present=np.zeros(n_inputs, np.bool_),
        selected=np.zeros(N_FIRST + N_SECOND, np.int64),
        q=np.zeros((n_kinds, k)),
        logs=np.zeros((n_inputs, k)),
        sum=np.zeros(k),
        neuron=np.zeros((N_FIRST, k)),
        neuron_log=np.zeros((N_FIRST, k)),
        mixed=np.zeros((N_SECOND + 1, k)),
        mixed_log=np.zeros(k),
    )


def n_bytes(sizes: Sequence[int], max_order: int, n_contexts: int) -> int:
    """Bytes of the large arrays of sensors of ``sizes`` symbols, at most."""
    if n_contexts == 0 or not sizes:
        return 0
    n_inputs = len(_kinds(max_order, True, len(sizes) - 1)) + 2
    weights = N_OF_SYMBOLS * _choices(n_inputs, max(sizes)) * n_inputs * max(sizes)
    return _CONTEXT * n_contexts + 4 * weights * len(sizes)


def _kinds(max_order: int, characters: bool, n_before: int) -> list[tuple[int, int]]:
    """Kinds of contexts, each with the number of its parent.

    ``n_before`` sensors of symbols are before in the row.
    """
    mine = orders(max_order)
    out = [(r, i - 1) for i, r in enumerate(mine)]
    names = [kind for kind, _ in out]
    for kind, below in _OF_CHARACTERS if characters else _OF_SYMBOLS:
        out.append((kind, names.index(below if below < 0 else min(below, max_order))))
        names.append(kind)
    beside = [(BESIDE - k, 0) for k in range(min(n_before, N_BESIDE))]
    if beside:
        beside.append((BESIDE_AND_LAST, len(out)))
    if n_before > 1:
        beside.append((ALL_BESIDE, len(out)))
    return out + beside


def _choices(n_inputs: int, n_symbols: int) -> int:
    """Sets of weights of a neuron."""
    return max(min(N_CLASSES**3, _LARGEST_WEIGHTS // max(n_inputs * n_symbols, 1)), 1)
