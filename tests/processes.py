"""Commands and programs in processes of their own, which import the package of this tree."""

import os
import subprocess
import sys
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
    """The completed command ``neurolp ARGUMENTS``."""
    return run(*COMMAND, *arguments, cwd=cwd, **environment)


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
