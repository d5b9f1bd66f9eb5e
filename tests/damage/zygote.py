"""Runs ``ov`` and ``doit`` many times a second: a process that has everything imported, and forks for each run.

One JSON object a line on stdin: ``{program, words, cwd, env, out, err, seconds}``; the answer is the exit code,
negative for a signal, or ``null`` when the run did not end in time and was killed, with all that it started.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import time
from typing import Any

from ovtasks.cli import main as ov  # before the module of that name takes its place


def _load() -> None:
    import cryptography.hazmat.primitives.serialization
    import doit.doit_cmd
    import jsonschema
    import requests
    import yaml

    import ovtasks.backends.qemu
    import ovtasks.cli.main
    import ovtasks.graph.loader
    import ovtasks.instance.create
    import ovtasks.sources.cloud_image.chain

    del cryptography, doit, jsonschema, requests, yaml, ovtasks


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
