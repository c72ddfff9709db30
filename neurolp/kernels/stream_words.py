"""What came before a symbol: the last symbols, words, sentences, as codes of contexts.

Of several sensors of symbols also the symbols of the same step of those before in the row.

Kinds of contexts are an order (the last 0, 1, .. symbols), or one of the kinds below. A *word* is a
run of letters and digits, where symbols are characters, and else of all but the most frequent
symbol; between words its place is taken by the up to three other symbols since.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neurolp.arrays import Array
from neurolp.kernels._jit import ordered_kernel
from neurolp.kernels.stream_contexts import first_hash, hashed
from neurolp.kernels.stream_state import Contexts

# Kinds of contexts below those that are orders.
NONE = -1
WORD, PREVIOUS_WORD, WORD_BEFORE = -2, -3, -4  # the word so far; with the last, with the one before
SENTENCE, PARAGRAPH, QUOTATION, PATTERN = -5, -6, -7, -8
# The symbol of this step of the sensor before, of the one before that, ..; the first with the last
# symbol of its own; of all sensors before.
BESIDE, N_BESIDE = -9, 3
BESIDE_AND_LAST, ALL_BESIDE = BESIDE - N_BESIDE, BESIDE - N_BESIDE - 1

# Classes of characters; the first three make words.
VOWEL, CONSONANT, DIGIT, SPACE, LINE_END, QUOTE, APOSTROPHE, SENTENCE_END, OTHER = range(9)
N_CLASSES = 9

# What is remembered of words: hashes, and small numbers.
(NOW, LAST, BEFORE, LENGTH, GAP, IN_WORD, OF_SENTENCE, OF_PARAGRAPH, QUOTED, VOWELS,
 CLASSES) = range(11)  # fmt: skip
N_WORDS = 11

_GAP_LONGEST = 3
_LONGEST = 7  # length of a word in the choice of weights
_PATTERN_STATES = 3**4
_CLASS_STATES = N_CLASSES**3


@ordered_kernel
def find_codes(contexts: Contexts, v: int, code: Array) -> None:
    """Write the codes of all contexts of this step; 0 of those that do not exist."""
    recent, words = contexts.recent[v], contexts.words[v]
    known = contexts.known[v]
    for i in range(code.shape[0]):
        kind = contexts.kind[v, i]
        code[i] = np.uint64(0)
        if kind >= 0 and kind <= known:
            c = first_hash(i)
            for k in range(kind):
                c = hashed(c, recent[k])
            code[i] = c | np.uint64(1)
        elif kind <= BESIDE:
            code[i] = _code_beside(contexts, v, kind, first_hash(i))
        elif kind < NONE and known > 0:
            code[i] = _word_code(kind, first_hash(i), recent, words) | np.uint64(1)


@ordered_kernel
def _code_beside(contexts: Contexts, v: int, kind: int, c: Any) -> Any:
    """Code of what other sensors have in this step; 0 where that is missing."""
    nearest = BESIDE - kind if kind > BESIDE_AND_LAST else 0
    first = 0 if kind == ALL_BESIDE else v - 1 - nearest
    for w in range(first, v if kind == ALL_BESIDE else first + 1):
        if contexts.now[w] < 0:
            return np.uint64(0)
        c = hashed(c, contexts.now[w])
    if kind == BESIDE_AND_LAST:
        if contexts.known[v] == 0:
            return np.uint64(0)
        c = hashed(c, contexts.recent[v, 0])
    return c | np.uint64(1)


@ordered_kernel
def _word_code(kind: int, c: Any, recent: Array, words: Array) -> Any:
    of_word = kind > SENTENCE or kind == PARAGRAPH
    c = hashed(c, words[NOW] if of_word else recent[0])
    if kind == PREVIOUS_WORD:
        c = hashed(c, words[LAST])
    elif kind == WORD_BEFORE:
        c = hashed(c, words[BEFORE])
    elif kind == SENTENCE:
        c = hashed(c, 4 * words[QUOTED] + min(words[OF_SENTENCE], 3))
        c = hashed(c, words[LENGTH])
    elif kind == PARAGRAPH:
        c = hashed(c, 4 * words[QUOTED] + min(words[OF_PARAGRAPH], 3))
    elif kind == QUOTATION:
        c = hashed(hashed(c, words[QUOTED]), recent[1])
    elif kind == PATTERN:
        c = hashed(hashed(c, words[VOWELS]), min(words[LENGTH], 6))
    return c


@ordered_kernel
def word_state(contexts: Contexts, v: int) -> int:
    """Length of the word and class of the last symbol, as one number."""
    last = contexts.classes[v, contexts.recent[v, 0]]
    return int(min(contexts.words[v, LENGTH], _LONGEST) * N_CLASSES + last)


@ordered_kernel
def class_state(contexts: Contexts, v: int) -> int:
    """Classes of the last three symbols, as one number."""
    return int(contexts.words[v, CLASSES])


@ordered_kernel
def follow(contexts: Contexts, v: int, y: int, learn: bool) -> None:
    """Let symbol ``y`` be the last one."""
    recent, words = contexts.recent[v], contexts.words[v]
    of_y = contexts.classes[v, y]
    before = contexts.classes[v, recent[0]] if contexts.known[v] > 0 else SPACE
    for k in range(recent.shape[0] - 1, 0, -1):
        recent[k] = recent[k - 1]
    recent[0] = y
    contexts.known[v] = min(contexts.known[v] + 1, recent.shape[0])
    words[CLASSES] = (words[CLASSES] * N_CLASSES + of_y) % _CLASS_STATES
    if learn:
        frequency = contexts.frequency[v]
        frequency[y] += 1
        if frequency[y] > frequency[contexts.separator[v]]:
            contexts.separator[v] = y
    if of_y <= DIGIT or (not contexts.characters[v] and y != contexts.separator[v]):
        if words[IN_WORD] == 0:
            words[IN_WORD] = 1
            words[NOW] = np.int64(first_hash(IN_WORD))
            words[OF_SENTENCE] += 1
            words[OF_PARAGRAPH] += 1
        words[NOW] = np.int64(hashed(np.uint64(words[NOW]), y))
        words[LENGTH] += 1
        words[VOWELS] = (words[VOWELS] * 3 + of_y + 1) % _PATTERN_STATES
        return
    if words[IN_WORD] == 1:
        words[BEFORE] = words[LAST]
        words[LAST] = words[NOW]
        words[IN_WORD] = words[LENGTH] = words[VOWELS] = words[GAP] = 0
        words[NOW] = np.int64(first_hash(GAP))
    if of_y == LINE_END:
        words[GAP] = 0
        words[NOW] = np.int64(first_hash(GAP))
    if words[GAP] < _GAP_LONGEST:
        words[GAP] += 1
        words[NOW] = np.int64(hashed(np.uint64(words[NOW]), y))
    _punctuate(words, of_y, before)


@ordered_kernel
def _punctuate(words: Array, of_y: int, before: int) -> None:
    """Begin and end of sentences, paragraphs and quotations."""
    if of_y in (SENTENCE_END, LINE_END):
        words[OF_SENTENCE] = 0
    if of_y == LINE_END:
        words[OF_PARAGRAPH] = 0
        words[QUOTED] = 0
    elif of_y in (QUOTE, APOSTROPHE):
        # After a letter it is an apostrophe, or ends a quoted word.
        if before in (SPACE, LINE_END):
            words[QUOTED] = 1
        elif before > DIGIT or of_y == QUOTE:
            words[QUOTED] = 0


@ordered_kernel
def lose(contexts: Contexts, v: int) -> None:
    """Let the last symbol be unknown: nothing before it is a context of what comes."""
    contexts.known[v] = 0
    for k in range(contexts.recent.shape[1]):
        contexts.recent[v, k] = 0
    for k in range(N_WORDS):
        contexts.words[v, k] = 0
