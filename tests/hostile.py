"""Configurations that nobody should write, and what becomes of them; also for benchmarks/fuzz.py."""

import contextlib
import copy
import datetime
import io
import json
import math
import shutil
import signal
from pathlib import Path

import numpy as np
import typer

from neurolp.cli import exit_codes as exits
from neurolp.config.sections import sections_in
from neurolp.errors import ConfigurationError
from neurolp.runs.execution import run_file
from neurolp.runs.kinds import configuration_of, kind_names, read_configuration, run_kind

CODES = (65, 73, 78)

# Where each kind begins: small, so that a run begins at once. Then it is made worse.
BASES = [
    {"data": {"name": "iris", "dequantise": True}, "brain": {"max_slices": 2}},
    {"data": {"file": "table.csv"}, "brain": {"model": "online", "max_epochs": 1, "n_slices": 2}},
    {"data": {"file": "table.npy"}, "brain": {"model": "linear", "max_epochs": 1}},
    {"data": {"file": "table.h5", "columns": [0, 1]}, "brain": {"model": "bounded", "max_epochs": 1}},
    {"data": {"name": "iris", "dequantise": True}, "connectivity": {"kind": "random", "seed": 0, "in_degree": 2}, "brain": {"max_slices": 1}},
    {"stream": {"source": "markov3", "n_steps": 50}, "brain": {"n_hidden": 5, "n_contexts": 16}},
    {"stream": {"file": "table.csv"}, "brain": {"n_hidden": 5, "n_contexts": 16}},
    {"stream": {"source": "video", "n_steps": 20}, "brain": {"n_hidden": 2, "n_lags": 1, "n_contexts": 4}},
    {"stream": {"source": "ar2", "n_steps": 50}, "brain": {"n_hidden": 5}, "connectivity": {"kind": "small_world", "seed": 0, "neighbours": 2, "rewiring": 0.1}},
    {"experiment": "principle"},
    {"experiment": "univariate"},
    {"experiment": "supervised", "table": {"file": "table.csv", "target": "c"}},
    {"experiment": "general_purpose", "files": ["table.csv"]},
    {"experiment": "reservoir", "capacity": {"n_hidden": 5}, "free_run": {"n_hidden": 5}},
]  # fmt: skip

PATHS = ("", ".", "..", "/", "table.csv", "folder.csv", "empty.csv", "absent.csv", "binary.h5", "words.txt",
         "/dev/null", "/dev/zero", "/proc/self/mem", "a\x00b", "x" * 5000 + ".csv", "~", "table.npy", "table.h5",
         "frames", "loop.csv", "words.csv", "closed.npz", "\ud7ff.csv", "table.csv/inner.csv")  # fmt: skip


def furnish(folder):
    """Files that configurations name."""
    rng = np.random.default_rng(0)
    table = rng.standard_normal((60, 3))
    np.savetxt(folder / "table.csv", table, delimiter=",", header="a,b,c", comments="")
    np.save(folder / "table.npy", table)
    import h5py

    with h5py.File(folder / "table.h5", "w") as file:
        file["x"] = table
    (folder / "folder.csv").mkdir()
    (folder / "frames").mkdir()
    (folder / "empty.csv").write_text("")
    (folder / "words.txt").write_text("to be or not to be\n" * 20)
    (folder / "words.csv").write_text("a,b\n" + "x,1\ny,2\n" * 20)
    (folder / "binary.h5").write_bytes(rng.bytes(500))
    (folder / "closed.npz").write_bytes(rng.bytes(500))
    (folder / "loop.csv").symlink_to("loop.csv")


def _keys_of(kind):
    """Every key of a configuration as a path, and some that belong to no section of this kind."""
    names = []
    for name, field in kind.model_fields.items():
        names.append((name,))
        sections = sections_in(field.annotation)
        names += sorted({(name, key) for section in sections for key in section.model_fields})
    return names


KEYS = {kind: _keys_of(kind) for kind in (run_kind(name).configuration for name in kind_names())}
ALL_KEYS = sorted({key for keys in KEYS.values() for key in keys})

_WORDS = [
    "auto",
    "all",
    "full",
    "none",
    "file",
    "online",
    "linear",
    "density",
    "bounded",
    "random_halves",
    "sequential",
    "coloring",
    "mixture",
    "base",
    "logistic",
    "float32",
    "replay",
    "local",
    "rls",
    "diagonal_rls",
    "nlms",
    "exact",
    "synchronous",
    "bounce",
    "iris",
    "wine",
    "two_moons",
    "gamma",
    "text",
    "lorenz",
    "causality",
    "ar2",
    "markov3",
    "mackey_glass",
    "video",
    "brain",
    "principle",
    "random",
    "small_world",
    "distance",
    "modular",
    "supervised",
    "a",
    "b",
    "c",
]
_NUMBERS = (
    0, 1, 2, 3, 5, 10, 50, 100, 1000, 10**4, 10**5, 10**6, 10**9, 10**12, 10**15, 2**63 - 1,
    5e-324, 1e-300, 1e-12, 1e-3, 0.1, 0.5, 0.999, 1.0, 2.0, 20.0, 1e3, 1e6, 1e12, 1e100, 1e308,
)  # fmt: skip
_HOSTILE = (
    2**31, 2**63, 2**64, -1, -2, 10**400, -(10**18), math.nan, math.inf, -math.inf, -1e308, -0.0, -0.5,
    "x" * 100_000, "\x00", "nan", "\U0010ffff", "'''", '"\\', "a\nb", "\x1b[31m", "", " ",
    datetime.date(1, 1, 1), datetime.datetime(9999, 12, 31), datetime.time(),
)  # fmt: skip


def _text(random):
    alphabet = random.choice(("abc._ ", "abc\n\t\"'\\#=[]{}", "äß☃\U0001f600\u202e", "\x01\x7f"))
    return "".join(random.choice(alphabet) for _ in range(random.randrange(8)))


def _likely(random):
    """A value that some key may take."""
    return random.choice((
        lambda: random.choice(_NUMBERS),
        lambda: random.choice(_NUMBERS),
        lambda: random.randrange(12),
        random.random,
        lambda: random.random() < 0.5,
        lambda: random.choice(_WORDS),
        lambda: random.choice(PATHS),
        lambda: [random.choice(_NUMBERS) for _ in range(random.randrange(4))],
        lambda: [random.randrange(4) for _ in range(random.randrange(4))],
        lambda: [random.choice("abc") for _ in range(random.randrange(3))],
        lambda: [[random.randrange(4) for _ in range(random.randrange(3))] for _ in range(random.randrange(4))],
    ))()  # fmt: skip


def _value(random, depth=0):
    """Any value at all."""
    kind = random.randrange(10)
    if kind < 5 or depth > 3:
        return _likely(random)
    if kind < 7:
        return random.choice(_HOSTILE)
    if kind == 7:
        return _text(random)
    if kind == 8:
        return [_value(random, depth + 1) for _ in range(random.randrange(4))]
    return {_text(random): _value(random, depth + 1) for _ in range(random.randrange(3))}


def _put(raw, keys, value):
    for key in keys[:-1]:
        if not isinstance(raw.get(key), dict):
            raw[key] = {}
        raw = raw[key]
    raw[keys[-1]] = value


def extreme(random):
    """A configuration that the schema has nothing against, with values that nobody would choose."""
    raw = copy.deepcopy(random.choice(BASES))
    keys = KEYS[type(configuration_of(copy.deepcopy(raw), "base"))]
    for _ in range(random.randrange(1, 5)):
        key = random.choice(keys)
        for _ in range(8):
            new = copy.deepcopy(raw)
            _put(new, key, _likely(random))
            with contextlib.suppress(ConfigurationError):
                configuration_of(copy.deepcopy(new), "changed")
                raw = new
                break
    return to_toml(raw).encode("utf-8", "surrogatepass")


def configuration(random):
    """A configuration as bytes: extreme, or made worse in a few places, or not even TOML."""
    shape = random.randrange(30)
    if shape >= 13:
        return extreme(random)
    if shape == 0:
        return random.randbytes(random.randrange(60))
    if shape == 1:
        return random.choice(_MONSTERS)
    raw = copy.deepcopy(random.choice(BASES))
    kind = type(configuration_of(copy.deepcopy(raw), "base"))
    for _ in range(random.randrange(5)):
        key = random.choice(
            (KEYS[kind], KEYS[kind], KEYS[kind], ALL_KEYS, [(_text(random), _text(random))])
        )
        _put(raw, random.choice(key), _value(random))
    text = to_toml(raw).encode("utf-8", "surrogatepass")
    if shape == 2:
        at = random.randrange(len(text) + 1)
        return text[:at] + random.randbytes(random.randrange(4)) + text[at:]
    return text


def settings_of(random):
    """What is given with --set: mostly nothing."""
    if random.randrange(6):
        return []
    return [random.choice((
        _text(random),
        f"{'.'.join(random.choice(ALL_KEYS))}={_text(random)}",
        f"{'.'.join(random.choice(ALL_KEYS))}={_value_to_toml(_value(random))}",
        "a." * 2000 + "b=1", "=", "seed=", "data=1", "seed=" + "[" * 5000, "brain..x=1", "data.file=\x00",
    ))]  # fmt: skip


_MONSTERS = (
    b"", b"\xff\xfe", b"\x00", b"\xef\xbb\xbftitle = 'mark'", b"a" * 100_000, b"=" * 1000,
    b"x = " + b"[" * 20_000, b"x = " + b"{a=" * 5_000, b".".join([b"a"] * 2_000) + b" = 1",
    b"[" + b".".join([b"a"] * 2_000) + b"]", b"seed = " + b"9" * 10_000, b"seed = 1e99999", b"seed = 0x" + b"f" * 9_000,
    b"[[data]]\nname = 'iris'\n" * 1000, b"\n" * 100_000, b"title = '''" + b"x" * 100_000, b"data = []", b"data = 1",
    b"[stream]", b"[data]", b"experiment = ['brain']", b"experiment = {}", b"experiment = nan", b"stream = nan",
    b"[data]\nname = 'iris'\n[brain]\nn_slices = " + b"1" * 4000,
    b"[data]\nname = 'iris'\n[connectivity]\nkind = ['full']", b"[stream]\nsource = {}\n", b"[brain]\nmodel = []\n[data]\n",
    b"[data]\nname = 'iris'\n[record]\ntrajectories = [" + b"1," * 10_000 + b"]",
)  # fmt: skip


def to_toml(raw):
    """TOML of a dictionary, all on one level: sections inline."""
    return "".join(f"{json.dumps(k)} = {_value_to_toml(v)}\n" for k, v in raw.items())


def _value_to_toml(value):
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return (
            json.dumps(value, ensure_ascii=True)
            if value.isascii()
            else json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        )
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{_value_to_toml(k)} = {_value_to_toml(v)}" for k, v in value.items())
            + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(_value_to_toml, value)) + "]"
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    return repr(value)


class Began(BaseException):
    """The run has begun: that is all that was to be seen."""


class TooLongError(BaseException):
    """Neither begun nor refused in time."""


def _stop(progress):
    raise Began


@contextlib.contextmanager
def ringing(seconds, ring):
    """Call ``ring(signum, frame)`` after so many seconds of the processor, unless all is done.

    Others may work on this machine, too.
    """
    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _begun_or_too_long(signum, frame):
    """Learning that takes long has begun, even where nothing is said of it; other work may not."""
    while frame is not None:
        # Compilers are left to finish, as are callbacks of libraries: they cannot be cut off.
        if frame.f_globals.get("__name__", "").split(".")[0] in ("numba", "llvmlite", "h5py"):
            signal.setitimer(signal.ITIMER_PROF, 0.2)
            return
        if frame.f_code.co_name in ("fit", "simulate"):
            raise Began
        frame = frame.f_back
    raise TooLongError


def outcome(folder, text, settings=(), patience=4):
    """What the command does of it, up to the first slice: "run", or its exit code and its line."""
    config, output = folder / "config.toml", folder / "out.h5"
    config.write_bytes(text)
    said = io.StringIO()
    code = "run"
    try:
        with (
            contextlib.redirect_stderr(said),
            exits.one_line_errors(),
            ringing(patience, _begun_or_too_long),
        ):
            configuration = read_configuration(config, settings)
            run_file(configuration, output, observe=_stop)
    except typer.Exit as stop:
        code = stop.exit_code
    except Began:
        pass
    finally:
        for left in (*folder.glob("out.h5*"), *folder.glob(".neurolp-*")):
            shutil.rmtree(left) if left.is_dir() else left.unlink()
    return code, said.getvalue()


def fault(code, line):
    """What is wrong with an outcome; nothing, if it is one line with the right exit code."""
    if code == "run":
        return "" if not line else f"a run said {line!r}"
    if code not in CODES and not (code == 70 and " diverged: " in line):
        return f"exit code {code}: {line!r}"
    if line.count("\n") != 1 or not line.startswith("neurolp: "):
        return f"not one line: {line!r}"
    if "Traceback" in line or len(line) > 1500:
        return f"not a line for people: {line[:3000]!r}"
    return ""


def folder_for(path):
    """A furnished folder."""
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    furnish(folder)
    return folder
