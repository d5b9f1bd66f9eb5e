"""Runs ``ov`` and ``doit`` many times a second: a process that has everything imported, and forks for each run.

One JSON object a line on stdin: ``{program, words, cwd, env, out, err, seconds}``; the answer is the exit code,
negative for a signal, or ``null`` when the run did not end in time and was killed, with all that it started.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import signal
import sys
import time
from typing import Any

import ovtasks
from ovtasks.cli import main as ov  # before the module of that name takes its place

OTHERS = """concurrent.futures.thread cryptography.hazmat.primitives.serialization doit.doit_cmd encodings.utf_8_sig
html.entities jsonschema mmap netrc pycdlib requests yaml"""


def _load() -> None:
    """All of the program, and what it imports where it uses it: else each run would."""
    for name in OTHERS.split():
        importlib.import_module(name)
    for module in pkgutil.walk_packages(ovtasks.__path__, "ovtasks."):
        importlib.import_module(module.name)


def _child(job: dict[str, Any]) -> None:
    os.setsid()
    os.chdir(job["cwd"])
    os.environ.clear()
    os.environ.update(job["env"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, name in ((1, job["out"]), (2, job["err"])):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
    sys.argv = [job["program"], *job["words"]]
    code: object = 1
    try:
        if job["program"] == "ov":
            code = ov()
        else:
            from doit.__main__ import main as doit

            sys.path.insert(0, job["cwd"])
            code = doit()
    except SystemExit as e:
        code = e.code
    except BaseException:  # noqa: BLE001 — that is what is looked for
        import traceback

        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)


def _wait(pid: int, seconds: float) -> int | None:
    end = time.monotonic() + seconds
    pause = 0.001
    while time.monotonic() < end:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(pause)
        pause = min(pause * 1.3, 0.02)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def main() -> None:
    _load()
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        job = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _child(job)
        print(json.dumps(_wait(pid, job["seconds"])), flush=True)


if __name__ == "__main__":
    main()
