"""Ten small layers beside one shell script with the same commands, each over one SSH login.

The guest is an sshd of this machine; the layers' record lies in a temporary folder.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench._measure import verdict
from ovtasks.guest.connection import connect
from ovtasks.layers.guest import LayerRun, apply
from tests.support.layers import plan
from tests.support.sshd import new_sshd, run_ssh

RUNS = 9
LAYERS = 10
LIMIT = 1.3
LAYER = """
tasks:
- {{cmd: "mkdir -p {0} && echo done >{0}/sums", user: "${{USER}}"}}
- {{write: {0}/file, content: "text\\n", user: "${{USER}}"}}
- {{link: {0}/link, target: file, user: "${{USER}}"}}
"""
COMMANDS = """
mkdir -p {0} && echo done >{0}/sums
printf 'text\\n' >{0}/file
chmod 0644 {0}/file
ln -s file {0}/link
"""


def main() -> int:
    """Measure in turns, after one warm-up."""
    with tempfile.TemporaryDirectory(prefix="ov-bench-") as name, new_sshd(Path(name) / "sshd") as server:
        server.start()
        place = Path(name) / "guest"
        folders = [f"{place}/{number}" for number in range(LAYERS)]
        plans = [plan(Path(name), LAYER.format(folder), f"l{number}") for number, folder in enumerate(folders)]
        script = "set -e\n" + "".join(COMMANDS.format(folder) for folder in folders)
        how = LayerRun(root=os.geteuid() == 0, base=f"{place}/record")

        def layers() -> None:
            with connect(server.target) as guest:
                apply(guest, plans, lambda event: None, how=how)

        works: dict[str, Callable[[], object]] = {
            "one ssh, one script": lambda: run_ssh(server.target, ["sh"], 60.0, script.encode()),
            "10 layers": layers,
        }
        times: dict[str, list[float]] = {one: [] for one in works}
        for turn in range(RUNS + 1):
            for one, work in works.items():
                shutil.rmtree(place, ignore_errors=True)
                place.mkdir()
                begun = time.perf_counter()
                work()
                if turn:
                    times[one].append(time.perf_counter() - begun)
    middle = {one: statistics.median(taken) for one, taken in times.items()}
    for one, taken in middle.items():
        print(f"  {one:<28} {taken * 1000:9.1f} ms")
    return verdict({"10 layers to one script by ssh": (middle["10 layers"] / middle["one ssh, one script"], LIMIT)})


if __name__ == "__main__":
    sys.exit(main())
