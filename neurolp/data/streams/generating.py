"""Registry of the generated streams by name, with their settings."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from pydantic import ConfigDict, ValidationError, validate_call

from neurolp.data.streams.causality import causality
from neurolp.data.streams.dynamics import ar2, lorenz, mackey_glass
from neurolp.data.streams.grasshopper import grasshopper
from neurolp.data.streams.markov import markov3
from neurolp.data.streams.retina import video
from neurolp.data.streams.source import Stream, check_integer
from neurolp.data.streams.text import text
from neurolp.errors import ConfigurationError

# The types of their settings declare the ranges, for :func:`generator` and for configurations.
MAKERS: dict[str, Callable[..., Stream]] = {
    "markov3": markov3,
    "ar2": ar2,
    "mackey_glass": mackey_glass,
    "lorenz": lorenz,
    "video": video,
    "causality": causality,
    "text": text,
    "grasshopper": grasshopper,
}

GENERATORS: tuple[str, ...] = tuple(MAKERS)
FINITE = ("text", "grasshopper")  # generators that end by themselves


def generator(name: str, n_steps: int | None = None, seed: int = 0, **settings: Any) -> Stream:
    """The stream ``name``, one of ``GENERATORS``: ``n_steps`` long, or endless where it can be.

    ``seed`` 0 with the default ``settings`` is the reference sequence that published figures are
    about; see the functions of the same names for the equations, and :func:`settings_of`.

    Raises
    ------
    ConfigurationError
        If there is no such generator or setting, or a value cannot be used.

    Examples
    --------
    >>> stream = generator("ar2", n_steps=20_000)
    >>> stream.read(3).ravel().round(3), round(stream.rate, 4)
    (array([0.097, 2.113, 1.407]), 1.4189)
    """
    known = settings_of(name)
    for setting in settings:
        if setting not in known:
            raise ConfigurationError(
                f"generator '{name}' has no setting `{setting}`; it has {', '.join(known)}"
            )
    try:
        make = validate_call(config=ConfigDict(allow_inf_nan=False))(MAKERS[name])
        stream: Stream = make(seed=check_integer("seed", seed, 0), **settings)
    except ValidationError as error:
        fault = error.errors()[0]
        message = fault["msg"].removeprefix("Value error, ")
        message = message[0].lower() + message[1:]
        raise ConfigurationError(
            f"argument `{fault['loc'][0]}`: {message}, but is {fault['input']!r}"
        ) from None
    if n_steps is None:
        return stream
    check_integer("n_steps", n_steps, 1)
    if stream.n_steps is not None and n_steps > stream.n_steps:
        raise ConfigurationError(
            f"argument `n_steps` must be at most {stream.n_steps} for generator '{name}', "
            f"but is {n_steps}"
        )
    return stream.head(n_steps)


def settings_of(name: str) -> dict[str, Any]:
    """Settings of a generator besides ``n_steps`` and ``seed``, and their defaults.

    >>> settings_of("mackey_glass")
    {'delay': 18, 'noise': 0.02}
    """
    if name not in MAKERS:
        raise ConfigurationError(
            f"argument `name` must be one of {', '.join(GENERATORS)}, but is {name!r}"
        )
    parameters = inspect.signature(MAKERS[name]).parameters
    return {key: p.default for key, p in parameters.items() if key != "seed"}
