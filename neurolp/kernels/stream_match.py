"""The longest match: where the last symbols came before, and which symbol followed them there."""

from __future__ import annotations

import numpy as np

from neurolp.kernels._jit import ordered_kernel
from neurolp.kernels.stream_contexts import first_hash, hashed
from neurolp.kernels.stream_state import Contexts

MATCHED = 5  # symbols by which a match is found
N_LENGTHS = 16  # classes of lengths of a match; 0 is none

# Fields of ``contexts.match``: place of the predicted symbol + 1, length, symbols stored in all.
_AT, _LENGTH, _STORED = 0, 1, 2
FOUND = 2  # of these fields, those of the match itself
N_MATCH = 3


@ordered_kernel
def matched(contexts: Contexts, v: int) -> int:
    """Symbol that followed the last match, -1 without one."""
    at = contexts.match[v, _AT] - 1
    return int(contexts.passed[v, at]) if at >= 0 else -1


@ordered_kernel
def match_length(contexts: Contexts, v: int) -> int:
    """Class of the length of the match: symbols from 5 to 13, 16 to 31, more; 0 without one."""
    n = contexts.match[v, _LENGTH]
    if contexts.match[v, _AT] == 0:
        return 0
    if n < 14:
        return int(max(n - MATCHED + 1, 1))
    return 10 + int(min(n // 16, 5))


@ordered_kernel
def lose_match(contexts: Contexts, v: int) -> None:
    """Let there be no match."""
    contexts.match[v, _AT] = contexts.match[v, _LENGTH] = 0


@ordered_kernel
def follow_match(contexts: Contexts, v: int, y: int, learn: bool) -> None:
    """Go on with the match if it said ``y``, or seek one; store ``y`` if it is to be learned.

    ``recent`` ends with ``y``. The ring holds the symbols that were learned, the oldest of which
    are overwritten; a place in the table is that of the symbol that followed five others.
    """
    match, passed, recent = contexts.match[v], contexts.passed[v], contexts.recent[v]
    n = passed.shape[0]
    if match[_AT] > 0 and passed[match[_AT] - 1] == y:
        match[_AT] = match[_AT] % n + 1
        match[_LENGTH] += 1
    else:
        match[_AT] = match[_LENGTH] = 0
    if learn:
        passed[match[_STORED] % n] = y
        match[_STORED] += 1
    here = match[_STORED] % n
    if match[_AT] == here + 1:  # where the next symbol will be stored
        match[_AT] = match[_LENGTH] = 0
    if contexts.known[v] < MATCHED:
        return
    code = first_hash(MATCHED)
    for k in range(MATCHED):
        code = hashed(code, recent[k])
    table = contexts.places[v]
    slot = int((code >> np.uint64(20)) % np.uint64(table.shape[0]))
    if match[_AT] == 0 and table[slot] > 0:
        at = table[slot] - 1
        length = _length(contexts, v, at)
        if length >= MATCHED and at < min(match[_STORED], n) and at != here:
            match[_AT] = at + 1
            match[_LENGTH] = length
    if learn:
        table[slot] = here + 1


@ordered_kernel
def _length(contexts: Contexts, v: int, at: int) -> int:
    """How many of the last symbols are those before a place in the ring."""
    passed, recent = contexts.passed[v], contexts.recent[v]
    n, stored = passed.shape[0], contexts.match[v, _STORED]
    k = 0
    while k < contexts.known[v]:
        before = at - 1 - k
        if before < 0:
            if stored < n:
                break
            before += n
        if before < 0 or passed[before] != recent[k]:
            break
        k += 1
    return k
