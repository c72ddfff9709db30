"""Requests to stop a simulation: SIGINT and SIGTERM for the command line, none for ``fit``."""

from __future__ import annotations

import signal
import threading
from types import TracebackType
from typing import Any, Protocol, Self, final


class Stop(Protocol):
    """What the main loop asks after each unit of time; it is entered for as long as that loop runs.

    Called, it says whether to stop; a long unit of time asks too, between two blocks of work.
    """

    def __enter__(self) -> Self:
        """Begin to listen."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Listen no longer."""

    def defer(self) -> None:
        """From now on there is something to lose: do not raise, wait to be asked."""

    def __call__(self) -> bool:
        """Whether to stop."""


@final
class NeverStop:
    """No request to stop; Ctrl-C raises ``KeyboardInterrupt``, as Python does it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Do nothing."""

    def defer(self) -> None:
        """Do nothing."""

    def __call__(self) -> bool:
        """False."""
        return False


@final
class SignalStop:
    """A stop that is requested by SIGINT (Ctrl-C) or SIGTERM; ``signal`` is the first that came.

    Until :meth:`defer` a signal raises ``KeyboardInterrupt(signum)`` at once, as there is nothing
    to be saved and compiling may take long. Afterwards it only sets a flag, however often it comes,
    so that nothing is cut in half. Signals reach the main thread only: elsewhere nothing is changed
    and nothing stops early. A handler that was not installed from Python stays. May be entered
    again while it is entered.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._raise = True
        self._depth = 0
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self._depth += 1
        if self._depth > 1:
            return self
        self._raise = True
        if threading.current_thread() is threading.main_thread():
            for signum in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(signum) is not None:
                    self._previous[signum] = signal.signal(signum, self._handle)
        return self

    def __exit__(self, *error: object) -> None:
        self._depth -= 1
        while self._previous and not self._depth:
            signal.signal(*self._previous.popitem())

    def defer(self) -> None:
        """From now on set a flag instead of raising ``KeyboardInterrupt``."""
        self._raise = False

    def __call__(self) -> bool:
        """Whether a signal came."""
        return self.signal is not None

    def _handle(self, signum: int, frame: object) -> None:
        self.signal = self.signal or signum
        if self._raise:
            self._raise = False  # once is enough: what cleans up must not be cut off
            raise KeyboardInterrupt(signum)
