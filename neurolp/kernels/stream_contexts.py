"""Tables of contexts: which symbols followed each, in constant memory.

A context is a hash of 64 bits of what came before. It has a slot in one table of all contexts of a
sensor, and a chain of entries, one for each symbol that followed it. New contexts take the place
of those that were counted least; where entries run out, slots are emptied in turn.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neurolp.arrays import Array
from neurolp.kernels._jit import ordered_kernel
from neurolp.kernels.stream_state import Contexts

SLOTS_TRIED = 4  # where a context may be
ABSENT = -1  # slot of a context that is not in the table

_MOST = 1e6  # counts of a context; then all of its counts are halved
_LEAST_COUNT = 0.25  # of a symbol that followed a context
_TO_PARENT = 0.625  # what a parent counts of a symbol that a longer context had counted already
_SEED, _FACTOR = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)


@ordered_kernel
def hashed(code: Any, value: int) -> Any:
    """Hash of a hash and a number."""
    code = (code ^ np.uint64(value + 1)) * _FACTOR
    return code ^ (code >> np.uint64(29))


@ordered_kernel
def first_hash(value: int) -> Any:
    """Hash of a number."""
    return hashed(_SEED, value)


@ordered_kernel
def find(contexts: Contexts, v: int, code: Any) -> int:
    """Slot of a context; ABSENT if it is new. No context has the code 0."""
    key = contexts.key[v]
    first = _first_slot(code, key.shape[0])
    for slot in range(first, first + SLOTS_TRIED):
        if key[slot] == code:
            return slot
    return ABSENT


@ordered_kernel
def learn_counts(contexts: Contexts, v: int, code: Array, slots: Array, y: int) -> None:
    """Count symbol ``y`` in all contexts of this step; new ones get a slot.

    Where a context had counted ``y`` before, its parent counts less than one: what longer contexts
    know, shorter ones need not predict (Kneser and Ney, ICASSP 1995).
    """
    for i in range(slots.shape[0]):
        if code[i] == np.uint64(0):
            continue
        if slots[i] == ABSENT:
            slots[i] = _take(contexts, v, code[i], slots)
        slot = slots[i]
        if slot == ABSENT:
            continue
        entry = _entry(contexts, v, slot, y)
        seen = entry >= 0
        if not seen:
            entry = _new_entry(contexts, v, slots)
            if entry < 0:
                continue
            contexts.symbol[v, entry] = y
            contexts.counts[v, entry] = 0.0
            contexts.weight[v, entry] = 0.0
            contexts.following[v, entry] = contexts.first[v, slot]
            contexts.first[v, slot] = entry + 1
            contexts.distinct[v, slot] += 1
        contexts.counts[v, entry] += 1.0
        contexts.total[v, slot] += 1.0
        if contexts.total[v, slot] > _MOST:
            _halve(contexts, v, slot)
        parent = contexts.parent[v, i]
        if seen and parent >= 0 and slots[parent] != ABSENT:
            _discount(contexts, v, slots[parent], y)
        if contexts.latest[v, slot] == y:
            contexts.run[v, slot] += 1
        else:
            contexts.latest[v, slot] = y
            contexts.run[v, slot] = 1


@ordered_kernel
def _first_slot(code: Any, n_slots: int) -> int:
    return int((code >> np.uint64(20)) % np.uint64(n_slots)) & ~(SLOTS_TRIED - 1)


@ordered_kernel
def _entry(contexts: Contexts, v: int, slot: int, y: int) -> int:
    """Entry of a symbol in a context, -1 if there is none."""
    entry = contexts.first[v, slot] - 1
    while entry >= 0 and contexts.symbol[v, entry] != y:
        entry = contexts.following[v, entry] - 1
    return int(entry)


@ordered_kernel
def _halve(contexts: Contexts, v: int, slot: int) -> None:
    entry = contexts.first[v, slot] - 1
    while entry >= 0:
        contexts.counts[v, entry] *= 0.5
        entry = contexts.following[v, entry] - 1
    contexts.total[v, slot] *= 0.5


@ordered_kernel
def _discount(contexts: Contexts, v: int, slot: int, y: int) -> None:
    entry = _entry(contexts, v, slot, y)
    if entry >= 0:
        before = contexts.counts[v, entry]
        after = max(before - 1.0 + _TO_PARENT, _LEAST_COUNT)
        contexts.counts[v, entry] = after
        contexts.total[v, slot] += after - before


@ordered_kernel
def _take(contexts: Contexts, v: int, code: Any, slots: Array) -> int:
    """Slot for a new context: a free one, or that of the context counted least."""
    first = _first_slot(code, contexts.key.shape[1])
    least, slot = np.inf, ABSENT
    for s in range(first, first + SLOTS_TRIED):
        total = 0.0 if contexts.key[v, s] == np.uint64(0) else contexts.total[v, s]
        if total < least and not _in_use(s, slots):
            least, slot = total, s
    if slot != ABSENT:
        _empty(contexts, v, slot)
        contexts.key[v, slot] = code
    return slot


@ordered_kernel
def _in_use(slot: int, slots: Array) -> bool:
    """Whether a slot belongs to a context of this step."""
    found = False
    for i in range(slots.shape[0]):
        found |= slots[i] == slot
    return found


@ordered_kernel
def _empty(contexts: Contexts, v: int, slot: int) -> None:
    """Forget a context; its entries are free."""
    entry = contexts.first[v, slot] - 1
    while entry >= 0:
        following = contexts.following[v, entry] - 1
        contexts.following[v, entry] = contexts.free[v, 0]
        contexts.free[v, 0] = entry + 1
        entry = following
    contexts.key[v, slot] = np.uint64(0)
    contexts.first[v, slot] = 0
    contexts.total[v, slot] = 0.0
    contexts.distinct[v, slot] = 0
    contexts.visits[v, slot] = 0
    contexts.latest[v, slot] = 0
    contexts.run[v, slot] = 0


@ordered_kernel
def _new_entry(contexts: Contexts, v: int, slots: Array) -> int:
    """A free entry; -1 if the contexts of this step have all of them.

    ``free`` is (first of the chain of free entries + 1, entries never used, slot emptied next).
    """
    free = contexts.free[v]
    if free[0] == 0 and free[1] < contexts.symbol.shape[1]:
        free[1] += 1
        return int(free[1] - 1)
    n_slots, tried = contexts.key.shape[1], 0
    while free[0] == 0 and tried < n_slots:
        if not _in_use(free[2], slots):
            _empty(contexts, v, free[2])
        free[2] = (free[2] + 1) % n_slots
        tried += 1
    entry = free[0] - 1
    if entry >= 0:
        free[0] = contexts.following[v, entry]
    return int(entry)
