"""The command ``neurolp`` in processes of their own that begin with the imports done.

Each is a fork of this program, and from there on the same as ``python -m neurolp``. Requests are
lines of JSON on standard input, exit codes the lines on standard output.
"""

import gc
import json
import os
import runpy
import signal
import sys
import warnings

import neurolp.cli.app
import neurolp.cli.display  # noqa: F401  (which imports nearly all of the package)


def _serve():
    """Fork for each request; only the forks return, each with its own."""
    for line in sys.stdin:
        with warnings.catch_warnings(action="ignore"):  # BLAS has threads, and ends them itself
            process = os.fork()
        if process == 0:
            return json.loads(line)
        _, status = os.waitpid(process, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
    sys.exit()


if __name__ == "__main__":
    gc.freeze()  # else most of a short command would be the end of what was imported
    request = _serve()
    signal.alarm(request["timeout"])
    for number, path in enumerate((os.devnull, request["stdout"], request["stderr"])):
        file = os.open(path, os.O_RDWR)
        os.dup2(file, number)
        os.close(file)
    os.chdir(request["cwd"])
    sys.argv[1:] = request["arguments"]
    runpy.run_module("neurolp", run_name="__main__", alter_sys=True)
