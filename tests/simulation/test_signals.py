"""Requests to stop: raised until there is something to lose, remembered afterwards."""

import signal
import threading

import pytest

from neurolp.simulation.signals import NeverStop, SignalStop


def test_a_signal_raises_until_it_is_deferred_and_then_sets_a_flag():
    before = signal.getsignal(signal.SIGINT)
    with SignalStop() as stop:
        with pytest.raises(KeyboardInterrupt) as caught:
            signal.raise_signal(signal.SIGTERM)
        assert caught.value.args == (signal.SIGTERM,)
    assert stop.signal == signal.SIGTERM
    with SignalStop() as stop:
        stop.defer()
        assert not stop()
        with stop:  # entered twice
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)
        assert stop()
        assert stop.signal == signal.SIGINT
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_foreign_handlers_and_other_threads_are_left_alone(monkeypatch):
    def refuse(*arguments):
        raise AssertionError

    def enter():
        with SignalStop() as stop:
            entered.append(stop())

    entered = []
    monkeypatch.setattr(signal, "signal", refuse)
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    monkeypatch.setattr(signal, "getsignal", lambda signum: None)
    enter()
    assert entered == [False, False]


def test_the_default_never_stops():
    with NeverStop() as stop:
        stop.defer()
        assert not stop()
