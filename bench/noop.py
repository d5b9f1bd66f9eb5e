"""Nothing to do: ``ov`` and ``doit`` beside ``python -c pass``, ninja and make on an equal graph.

``python -m bench.noop [VMS [RUNS]]``; 1000 VMs and 21 runs by default, which takes a few minutes to build once.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from bench._measure import PYTHON_PASS, SCRIPTS, compile_package, in_turns, table, verdict
from tests.support.programs import call, python, qemu_img

PYTHON = "python -c pass"


def make_project(root: Path, count: int) -> None:
    """``count`` VMs, each with an image, a key pair, a disk and a seed of its own; built."""
    images = root / "images"
    images.mkdir()
    first = images / "0.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", first, "16M")
    vms = {}
    for number in range(count):
        image = images / f"{number}.qcow2"
        if number:
            shutil.copyfile(first, image)
        with image.open("ab") as file:
            file.write(f"image {number}".encode().ljust(65536))  # past what qcow2 uses: another image
        vms[f"vm{number}"] = {
            "source": {"kind": "cloud_image", "url": str(image), "checksum": {"type": "none"}},
            "disk_size": "1G",
            "ssh": {"key_source": "generate", "user": "me"},
            "cloud_init": {"packages": ["vim"]},
        }
    (root / "vms.yml").write_text(json.dumps({"vms": vms}, indent=1), encoding="utf-8")
    (root / "pyproject.toml").write_text('[tool.doit]\nloader = "ovtasks"\n', encoding="utf-8")
    for words in (["vm", "build"], ["vm", "build", "vm0"]):
        for _ in range(2):
            call(SCRIPTS / "ov", *words, cwd=root, timeout=None)


def make_peers(root: Path, count: int) -> None:
    """The same graph for ninja and make: the same steps with the same number of files in and out, one goal a VM."""
    files = root / "peers"
    files.mkdir()
    edges: list[tuple[list[str], list[str]]] = []
    goals = []
    for n in range(count):
        (files / f"spec{n}").touch()
        edges += [
            ([f"fetched{n}"], [f"spec{n}"]),
            ([f"verified{n}", f"image{n}"], [f"fetched{n}"]),
            ([f"disk{n}", f"base{n}"], [f"verified{n}", f"image{n}", f"spec{n}"]),
            ([f"key{n}", f"public{n}"], [f"spec{n}"]),
            ([f"seed{n}"], [f"disk{n}", f"public{n}", f"spec{n}"]),
        ]
        goals.append((f"vm{n}", [f"disk{n}", f"seed{n}"]))
    ninja = ["rule t", " command = touch $out"]
    ninja += [f"build {' '.join(made)}: t {' '.join(needs)}" for made, needs in edges]
    ninja += [f"build {goal}: phony {' '.join(needs)}" for goal, needs in goals]
    ninja += [f"build all: phony {' '.join(goal for goal, _ in goals)}", "default all", ""]
    make = [f"all: {' '.join(goal for goal, _ in goals)}", f".PHONY: all {' '.join(goal for goal, _ in goals)}"]
    make += [f"{goal}: {' '.join(needs)}" for goal, needs in goals]
    make += [f"{' '.join(made)} &: {' '.join(needs)}\n\ttouch {' '.join(made)}" for made, needs in edges]
    (files / "build.ninja").write_text("\n".join(ninja), encoding="utf-8")
    (files / "Makefile").write_text("\n".join(make) + "\n", encoding="utf-8")
    for tool in ("ninja", "make"):
        call(tool, "-C", files)


def make_launcher(root: Path) -> None:
    """The project as a checkout that was built by ``./doitw build:vm0``: that is what the launcher asks first."""
    (root / ".venv" / "bin").mkdir(parents=True)
    (root / ".venv" / "bin" / "python").symlink_to(sys.executable)
    (root / "ovtasks").symlink_to(Path(__file__).parent.parent / "ovtasks")
    shutil.copy2(Path(__file__).parent.parent / "doitw", root)
    for _ in range(2):
        python("-c", "from ovtasks.cli import doit; raise SystemExit(doit())", "build:vm0", cwd=root)


def measure(count: int, runs: int, scratch: Path) -> dict[str, tuple[float, float]]:
    """Build, measure, print; the ratios with their limits."""
    root = scratch / f"{count}"
    root.mkdir()
    print(f"building {count} VM{'s' if count > 1 else ''} …", flush=True)
    make_project(root, count)
    make_peers(root, count)
    make_launcher(root)
    ov, doit = str(SCRIPTS / "ov"), str(SCRIPTS / "doit")
    ninja, make = (shutil.which(tool) or tool for tool in ("ninja", "make"))
    peers = str(root / "peers")
    one = in_turns(
        {
            PYTHON: PYTHON_PASS,
            "ov vm build vm0": [ov, "vm", "build", "vm0"],
            "doit build:vm0": [doit, "build:vm0"],
            "./doitw build:vm0": [str(root / "doitw"), "build:vm0"],
            "ninja vm0": [ninja, "-C", peers, "vm0"],
            "make vm0": [make, "-s", "-C", peers, "vm0"],
        },
        root,
        runs=runs,
    )
    table(f"{count} in the file, one goal", one, PYTHON)
    words = ["-q", "vm", "build", "vm0"]
    below = in_turns({PYTHON: PYTHON_PASS, "ov -q vm build vm0": [ov, *words]}, root / "images", runs=runs)
    table("from a folder below the project", below, PYTHON)
    limits = {
        f"ov, 1 of {count}": (one["ov vm build vm0"].ratio(one[PYTHON]), 1.3),
        f"ov -q from below, 1 of {count}": (below["ov -q vm build vm0"].ratio(below[PYTHON]), 1.3),
        f"doitw, 1 of {count}": (one["./doitw build:vm0"].ratio(one[PYTHON]), 2.0),
        f"doit, 1 of {count}": (one["doit build:vm0"].ratio(one[PYTHON]), 11.0),
        f"ov's memory in MiB, 1 of {count}": (one["ov vm build vm0"].peak, 25.0),
    }
    if count > 1:
        everything = in_turns(
            {
                PYTHON: PYTHON_PASS,
                "ov vm build": [ov, "vm", "build"],
                "ninja": [ninja, "-C", peers],
                "make": [make, "-s", "-C", peers],
            },
            root,
            runs=runs,
        )
        table(f"all {count}", everything, PYTHON)
        limits |= {
            f"ov, all {count}": (everything["ov vm build"].ratio(everything[PYTHON]), 3.0),
            f"ov to ninja, all {count}": (everything["ov vm build"].ratio(everything["ninja"]), 1.2),
            f"ov's memory in MiB, all {count}": (everything["ov vm build"].peak, 25.0),
        }
    return limits


def main() -> int:
    """Measure 1 VM and many."""
    compile_package()
    count, runs = (int(sys.argv[n]) if len(sys.argv) > n else default for n, default in ((1, 1000), (2, 21)))
    with tempfile.TemporaryDirectory(prefix="ov-bench-") as name:
        scratch = Path(name)
        os.environ.update(XDG_CACHE_HOME=str(scratch / "cache"), XDG_DATA_HOME=str(scratch / "data"))
        return verdict(measure(1, runs, scratch) | measure(count, runs, scratch))


if __name__ == "__main__":
    sys.exit(main())
