"""A bootc VM from image to qcow2, beside the same podman and qemu-img commands by hand; and its no-op.

``python -m bench.bootc [RUNS]``, as root: podman runs in a room of its own, with the tests' stand-in for bootc.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from bench._measure import PYTHON_PASS, SCRIPTS, compile_package, in_turns, table, verdict
from tests.bootc.room import Room
from tests.bootc.storage import standin_room

LIMIT = 1.05
NOOP_LIMIT = 1.3  # of `python -c pass`, as for every other VM
PAYLOAD = 1536 << 20
"""Bytes on top of the stand-in's Debian: as large as bootc images are."""
SPEC = """vms:
  box:
    source: {kind: bootc, image: localhost/large:latest, transport: containers-storage}
    disk_size: 10G
    ssh: {key_source: none}
"""
# The flags that `ov` gives, the raw disk beside the qcow2, and the qcow2 safe on the disk, as a finished build has it.
BY_HAND = """set -e
mkdir -p hand && truncate -s 10G hand/disk.raw
podman run --rm --privileged --pid=host --ipc=host --network=none --security-opt label=type:unconfined_t -v /dev:/dev \\
  -v /var/lib/containers:/var/lib/containers -v "$PWD/hand:/output" localhost/large:latest bootc install to-disk \\
  --via-loopback --generic-image --filesystem ext4 /output/disk.raw
qemu-img convert -W -f raw -O qcow2 hand/disk.raw hand/disk.qcow2
rm hand/disk.raw
sync hand/disk.qcow2
"""


def main() -> int:
    """Measure in turns; each build starts with the image there and nothing installed."""
    compile_package()
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory(prefix="ov-bench-") as name, standin_room() as room:
        project = Path(name)
        _large_image(room, project)
        (project / "vms.yml").write_text(SPEC, encoding="utf-8")
        limits = {**_build(room, project, runs), **_noop(room, project)}
    return verdict(limits)


def _large_image(room: Room, project: Path) -> None:
    context = project / "context"
    context.mkdir()
    with (context / "payload").open("wb") as file:
        for _ in range(PAYLOAD >> 20):
            file.write(os.urandom(1 << 20))
    (context / "Containerfile").write_text("FROM localhost/standin\nCOPY payload /usr/lib/payload\n", encoding="utf-8")
    room.podman("build", "--quiet", "--tag", "localhost/large", context)
    shutil.rmtree(context)


def _build(room: Room, project: Path, runs: int) -> dict[str, tuple[float, float]]:
    commands = {
        "ov vm build": room.argv(SCRIPTS / "ov", "vm", "build", "box", cwd=project),
        "by hand": room.argv("sh", "-c", BY_HAND, cwd=project),
    }

    def clear(_: str) -> None:
        shutil.rmtree(project / "output" / "box", ignore_errors=True)
        shutil.rmtree(project / "hand", ignore_errors=True)

    figures = in_turns(commands, project, runs=runs, before=clear)
    table("bootc: install, convert, clean (10 GiB disk)", figures, "by hand")
    return {"build / by hand": (figures["ov vm build"].ratio(figures["by hand"]), LIMIT)}


def _noop(room: Room, project: Path) -> dict[str, tuple[float, float]]:
    commands = {
        "ov vm build": room.argv(SCRIPTS / "ov", "vm", "build", "box", cwd=project),
        "python -c pass": room.argv(*PYTHON_PASS, cwd=project),
    }
    figures = in_turns(commands, project)
    table("bootc: nothing to do", figures, "python -c pass")
    return {"nothing to do / python -c pass": (figures["ov vm build"].ratio(figures["python -c pass"]), NOOP_LIMIT)}


if __name__ == "__main__":
    sys.exit(main())
