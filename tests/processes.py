"""Commands and programs in processes of their own, which import the package of this tree."""

import atexit
import functools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
COMMAND = (sys.executable, "-m", "neurolp")
# The command line as from a terminal, also where the tests themselves were started in the
# background, which means that Ctrl-C is ignored.
INTERRUPTIBLE = (
    sys.executable,
    "-c",
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from neurolp.cli.app import main; main()",
)
_TIMEOUT = 300  # seconds, after which a process hangs


def _environment(more):
    return os.environ | {"PYTHONPATH": str(ROOT)} | more


def neurolp_command(*arguments, cwd, **environment):
    """The completed command ``neurolp ARGUMENTS``.

    Importing the package takes longer than most commands: those of one environment are forks of
    one process that has done it.
    """
    if sys.platform != "linux":
        return run(*COMMAND, *arguments, cwd=cwd, **environment)
    arguments = list(map(str, arguments))
    with tempfile.NamedTemporaryFile() as out, tempfile.NamedTemporaryFile() as err:
        request = {
            "arguments": arguments,
            "cwd": str(cwd),
            "stdout": out.name,
            "stderr": err.name,
            "timeout": _TIMEOUT,
        }
        server = _server(tuple(environment.items()))
        print(json.dumps(request), file=server.stdin, flush=True)
        code = int(server.stdout.readline())
        texts = [Path(file.name).read_text() for file in (out, err)]
    return subprocess.CompletedProcess([*COMMAND, *arguments], code, *texts)


@functools.cache
def _server(environment):
    """The process whose forks are the commands, until the tests end."""
    program = sys.executable, "-m", "tests.command_server"
    pipes = {"stdin": subprocess.PIPE, "stderr": None}
    server = start(*program, environment=dict(environment), **pipes)
    atexit.register(server.communicate)  # closes its input, and it ends
    return server


def python(code, *arguments, cwd=ROOT, **environment):
    """The completed program ``code``."""
    return run(sys.executable, "-c", code, *arguments, cwd=cwd, **environment)


def run(*command, cwd, **environment):
    """A completed process with its output as text."""
    return subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=_environment(environment),
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
        check=False,
    )


def start(*command, cwd=ROOT, environment=None, **settings):
    """A running process; ``settings`` as of ``subprocess.Popen``."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(
        list(map(str, command)), cwd=cwd, env=_environment(environment or {}), **pipes | settings
    )


def progress_line(process):
    """The next line of a started process about its progress, not about compilation."""
    return next(line for line in process.stdout if not line.startswith("compiling"))


def finished(process):
    """Standard output and error of a started process, when it has ended."""
    return process.communicate(timeout=_TIMEOUT)


def assert_one_line(done, code, text):
    """Assert that a command ended with this exit code and one line that contains ``text``."""
    assert done.returncode == code, (done.stdout, done.stderr)
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert text in done.stderr
    assert "Traceback" not in done.stderr
