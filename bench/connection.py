"""One connection into a guest beside processes of ssh: a probe as ``ov vm wait`` makes it, and ten small scripts beside
one that does the same. The guest is an sshd of this machine."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench._measure import verdict
from ovtasks.guest.connection import connect
from tests.support.sshd import new_sshd, run_ssh

RUNS = 11
LAYERS = 10
LAYER = "mkdir -p {0}/d; printf %s text >{0}/d/file; chmod 600 {0}/d/file; ln -sf file {0}/d/link; sed -n 1p {0}/d/file"


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def main() -> int:
    """Measure in turns, after one warm-up; paramiko is loaded then, which takes 0.15 s of its own."""
    with tempfile.TemporaryDirectory(prefix="ov-bench-") as name, new_sshd(Path(name) / "sshd") as server:
        server.start()
        target = server.target
        layers = [LAYER.format(f"{name}/{number}") for number in range(LAYERS)]
        whole = "\n".join(layers).encode()

        def probe() -> None:
            with connect(target) as guest:
                guest.command("true")

        def apart() -> None:
            with connect(target) as guest:
                for layer in layers:
                    guest.run(layer)

        works: dict[str, Callable[[], object]] = {
            "ssh true": lambda: run_ssh(target, ["true"], 30.0),
            "login and true": probe,
            "one ssh, one script": lambda: run_ssh(target, ["sh"], 30.0, whole),
            "one connection, 10 scripts": apart,
        }
        times: dict[str, list[float]] = {one: [] for one in works}
        for turn in range(RUNS + 1):
            for one, work in works.items():
                taken = seconds(work)
                if turn:
                    times[one].append(taken)
    middle = {one: statistics.median(taken) for one, taken in times.items()}
    for one, taken in middle.items():
        print(f"  {one:<28} {taken * 1000:9.1f} ms")
    return verdict(
        {
            "a probe to a process of ssh": (middle["login and true"] / middle["ssh true"], 1.0),
            "10 scripts to one by ssh": (middle["one connection, 10 scripts"] / middle["one ssh, one script"], 1.3),
        }
    )


if __name__ == "__main__":
    sys.exit(main())
