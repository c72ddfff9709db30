"""The main loop: any process, by hand or simulated, in one go or in parts, to memory or a file."""

import numpy as np
import pytest

import neurolp
from neurolp import BrainDensity, LinearBrain, Monitor, OnlineBrain, Recorder, StreamBrain
from neurolp.arrays import NamedArrays
from neurolp.data.streams import generator
from neurolp.errors import DivergedError
from neurolp.simulation import loop
from neurolp.simulation.checkpoint import Checkpointer
from neurolp.simulation.loop import Pace, simulate
from neurolp.simulation.memory_store import MemoryStore
from neurolp.simulation.schedule import Schedule
from neurolp.simulation.stream import StreamProcess
from neurolp.simulation.stream_monitors import Predictions, StepMonitor, Weights, WindowMonitor
from neurolp.storage.reader import open_trajectory
from neurolp.storage.store import RunStore


class CapturedError(Exception):
    """Carries the process that an estimator would have simulated."""


def process_of(monkeypatch, estimator):
    """The process of ``fit``, before its first unit of time."""

    def capture(process, *args, **kwargs):
        raise CapturedError(process)

    X = np.random.default_rng(0).standard_normal((120, 3)) @ np.tri(3)
    with monkeypatch.context() as patched:
        for module in ("base", "density"):
            patched.setattr(f"neurolp.estimators.{module}.simulate", capture)
        with pytest.raises(CapturedError) as caught:
            estimator.fit(X)
    return caught.value.args[0]


def stream_process():
    brain = StreamBrain(
        generator("lorenz", 400).sensors, n_hidden=8, n_lags=2, warmup=20, random_state=0
    )
    return StreamProcess(brain, generator("lorenz", 400), train_steps=300)


KINDS = {
    "greedy": lambda patch: process_of(patch, BrainDensity(random_state=0, n_threads=1)),
    "rotating": lambda patch: process_of(patch, BrainDensity(random_state=0, rotation=True)),
    "online": lambda patch: process_of(patch, OnlineBrain(random_state=0)),
    "linear": lambda patch: process_of(patch, LinearBrain(random_state=0)),
    "stream": lambda patch: stream_process(),
}


@pytest.fixture(params=KINDS)
def make(request, monkeypatch):
    return lambda: KINDS[request.param](monkeypatch)


def assert_same_state(a, b):
    assert a.keys() == b.keys()
    for name, values in a.items():
        if name == "recent_surprise":  # a running mean, which depends on the pieces to rounding
            np.testing.assert_allclose(b[name], values, rtol=1e-12)
        else:
            np.testing.assert_array_equal(b[name], values, err_msg=name)


def test_driven_by_hand_a_process_does_what_the_loop_does(make):
    by_hand, simulated = make(), make()
    for _ in range(4):
        by_hand.advance(1)
    outcome = simulate(simulated, 4)
    assert (outcome.time, outcome.interrupted) == (4, False)
    assert by_hand.time == simulated.time == 4
    assert_same_state(by_hand.state(), simulated.state())


def test_two_parts_are_the_whole(make):
    whole, first = make(), make()
    simulate(whole, 6)
    simulate(first, 3)
    state = first.state()
    kept = {name: values.copy() for name, values in state.items()}
    simulate(first, 6)
    assert_same_state(kept, state)  # what a process returned is changed by no later unit
    # Another process of the same construction, given that state, continues to the last bit.
    second = make()
    second.restore(state)
    assert second.time == 3
    simulate(second, 6)
    for other in (first, second):
        assert_same_state(whole.state(), other.state())


def test_what_a_simulation_returns_to_can_be_simulated_again(make):
    process = make()
    start = process.state()
    simulate(process, 3)
    once = process.state()
    process.restore(start)
    simulate(process, 3)
    assert_same_state(once, process.state())


class Norms(Monitor):
    """A monitor of one's own: the norm of all readout weights, every so many steps."""

    def __init__(self, every):
        self.schedule = Schedule(every, (0,))
        self.seen = 0

    def begin(self, process, store):
        self.store = store
        store.declare_dimension("norm_time", "i8", "step", "steps observed")
        store.declare("norm", ("norm_time",), (), "f8", "1", "norm of the readout weights")

    def observe(self, observation):
        self.seen += len(observation.rows)

    def sample(self, process):
        self.store.append("norm_time", [process.time])
        self.store.append("norm", [np.linalg.norm(process.brain.weights["readout"])])

    def state(self):
        return {"seen": np.array([self.seen])}

    def restore(self, arrays):
        self.seen = int(arrays["seen"][0])


def monitors():
    return [
        StepMonitor(), WindowMonitor(50), Predictions(90),
        Weights(every=150), Norms(70),
    ]  # fmt: skip


def test_the_same_monitors_write_the_same_to_memory_and_to_a_file(tmp_path):
    memory, watching = MemoryStore(), monitors()
    neurolp.simulate(stream_process(), monitors=watching, store=memory, pace=Pace())
    file = RunStore.create(tmp_path / "a.h5", NamedArrays())
    neurolp.simulate(stream_process(), monitors=monitors(), store=file, pace=Pace())
    file.finish(NamedArrays())
    assert watching[-1].seen == 400
    np.testing.assert_array_equal(memory["norm_time"], [0, 70, 140, 210, 280, 350])
    with open_trajectory(tmp_path / "a.h5") as opened:
        for name in memory:
            np.testing.assert_array_equal(opened.read(name), memory[name], err_msg=name)
        assert {"surprise", "mean_surprise", "predicted", "readout", "norm"} <= set(opened)


@pytest.mark.parametrize("where", ["memory", "file"])
def test_a_second_declaration_that_differs_is_refused(tmp_path, where):
    store = MemoryStore() if where == "memory" else RunStore.create(tmp_path / "a", NamedArrays())
    store.declare_dimension("time", "i8", "step", "steps done")
    for _ in range(2):  # the same once more has no effect
        store.declare("norm", ("time", "node"), (3,), "f8", "1", "norm")
    for dims, shape in [(("time", "unit"), (3,)), (("time", "node"), (4,))]:
        with pytest.raises(ValueError, match=r"norm was declared with \('time', 'node'\)"):
            store.declare("norm", dims, shape, "f8", "1", "norm")


def test_a_monitor_of_ones_own_goes_on_with_its_run(tmp_path):
    whole = MemoryStore()
    simulate(stream_process(), monitors=monitors(), store=whole, pace=Pace())

    def describe(process):
        return NamedArrays()

    store = RunStore.create(tmp_path / "a.h5", NamedArrays())
    keeper = Checkpointer(store, describe, 0.0)
    simulate(stream_process(), 123, monitors=monitors(), store=store, checkpointer=keeper)
    store.close()
    store = RunStore.reopen(tmp_path / "a.h5")
    keeper, watching = Checkpointer(store, describe, 0.0), monitors()
    process = stream_process()
    simulate(process, monitors=watching, store=store, checkpointer=keeper, pace=Pace())
    assert process.time == watching[-1].seen == 400
    store.finish(NamedArrays())
    with open_trajectory(tmp_path / "a.h5") as opened:
        for name in ("surprise", "norm", "norm_time", "predicted", "predicted_step"):
            np.testing.assert_array_equal(opened.read(name), whole[name], err_msg=name)


@pytest.mark.parametrize("where", ["in the process", "in a monitor", "in the report"])
def test_ctrl_c_anywhere_commits_nothing_that_does_not_fit_together(tmp_path, where, monkeypatch):
    """Without a ``SignalStop`` Ctrl-C raises wherever Python is: what follows is the same run."""
    whole = MemoryStore()
    simulate(stream_process(), monitors=monitors(), store=whole, pace=Pace())
    process, watching = stream_process(), monitors()

    def cut(function, at):
        def cutting(*arguments, **named):
            result = function(*arguments, **named)
            if process.time >= at or process.brain.n_steps_ >= at:
                raise KeyboardInterrupt
            return result

        return cutting

    progress = (lambda report: None) if where != "in the report" else cut(lambda report: None, 200)
    if where == "in the process":
        # The rows are learned, but not counted yet.
        monkeypatch.setattr(StreamBrain, "run", cut(StreamBrain.run, 200))
    elif where == "in a monitor":
        watching[-1].observe = cut(watching[-1].observe, 200)
    store = RunStore.create(tmp_path / "a.h5", NamedArrays())
    keeper = Checkpointer(store, lambda process: NamedArrays(), 1000.0)  # at the end, if at all
    outcome = simulate(
        process, monitors=watching, store=store, checkpointer=keeper, progress=progress,
        pace=Pace(n_units=32, most=32),
    )  # fmt: skip
    assert outcome.interrupted
    monkeypatch.undo()
    store.close()
    store = RunStore.reopen(tmp_path / "a.h5")
    keeper, again = Checkpointer(store, lambda process: NamedArrays(), 0.0), stream_process()
    simulate(again, monitors=monitors(), store=store, checkpointer=keeper, pace=Pace())
    store.finish(NamedArrays())
    with open_trajectory(tmp_path / "a.h5") as opened:
        for name in ("surprise", "norm", "norm_time", "predicted", "predicted_step"):
            np.testing.assert_array_equal(opened.read(name), whole[name], err_msg=name)


def test_fit_takes_monitors_and_a_store():
    class Slices(Monitor):
        schedule = Schedule(every=2)

        def begin(self, process, store):
            self.times = []

        def sample(self, process):
            self.times.append(process.time)

    X = np.random.default_rng(0).standard_normal((80, 2))
    monitor, store = Slices(), MemoryStore()
    brain = BrainDensity(max_slices=5, patience=9, head="base", random_state=0)
    brain.fit(X, monitors=[monitor], store=store, recorder=Recorder(every=3))
    assert monitor.times == [2, 4]
    assert brain.record_ is store
    np.testing.assert_array_equal(store["time"], np.arange(6))
    np.testing.assert_array_equal(store["frame"], [0, 3, 5])


def test_what_is_not_finite_at_the_end_is_named():
    process = stream_process()
    simulate(process, 100)
    process.brain._state.memory.bias[3] = np.nan
    with pytest.raises(DivergedError, match="threshold of hidden node 3 became nan"):
        simulate(process, process.time)
    with pytest.raises(DivergedError, match="became nan"):
        loop.check_finite(process)
