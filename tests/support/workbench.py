"""A project in a temporary folder, driven through the real programs ``ov`` and ``doit``."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ovtasks.graph.receipt import Receipt, sha256_of
from ovtasks.graph.step import Step
from tests.support import processes
from tests.support.pace import without_waits
from tests.support.processes import DEVNULL, Process
from tests.support.programs import Ended, attempt, qemu_img, qemu_io

ROOT = Path(__file__).parents[2]
OV = [sys.executable, "-c", "import sys; sys.argv[0] = 'ov'; from ovtasks.cli import main; sys.exit(main())"]
DOIT = [sys.executable, "-m", "doit"]
DODO = "from ovtasks import load_tasks\nload_tasks(globals())\n"
TIMEOUT = 300.0  # longer than what is run waits itself, so that its own words are seen
HALT = bytes([0xFA, 0xF4, 0xEB, 0xFD])
"""Machine code of x86: no interrupts, halt, and again."""


def make_image(path: Path, size: str = "16M", *, mark: bytes = b"") -> str:
    """A small qcow2 image with some content; returns its sha256 in hexadecimal.

    A machine that boots it halts at once. Without a boot sector its firmware would go on looking, which is all that
    many tests' machines would do.
    """
    qemu_img("create", "-q", "-f", "qcow2", path, size)
    with tempfile.NamedTemporaryFile() as sector:
        sector.write(HALT.ljust(510, b"\0") + b"\x55\xaa")
        sector.flush()
        writes = ("-c", f"write -P {len(mark) + 1} 0 64k", "-c", f"write -s {sector.name} 0 512")
        qemu_io("-f", "qcow2", *writes, path)
    return sha256_of(path).removeprefix("sha256:")


@dataclass
class Workbench:
    """``root`` is the project; ``env`` is added to the environment of what is run."""

    root: Path
    env: dict[str, str] = field(default_factory=dict)
    started: list[Process] = field(default_factory=list)

    def write(self, vms: Mapping[str, Any], name: str = "vms.yml") -> None:
        """Declare VMs (JSON is YAML)."""
        (self.root / name).write_text(json.dumps({"vms": vms}, indent=1), encoding="utf-8")

    def argv(self, argv: list[str]) -> list[str]:
        """The command line for it in the project's folder."""
        return argv

    @property
    def environment(self) -> dict[str, str]:
        """All of it."""
        return {**os.environ, **self.env}

    def start(self, argv: list[str], *, stdin: int = DEVNULL) -> Process:
        """A program in the project's folder that is signalled, or meets others, while it runs."""
        process = processes.start(*self.argv(argv), cwd=self.root, env=self.environment, stdin=stdin)
        self.started.append(process)
        return process

    def settle(self) -> None:
        """Wait for what a failed test left running; kill what takes too long."""
        for process in self.started:
            processes.settle(process, TIMEOUT)

    def run(self, argv: list[str]) -> Ended:
        """Run to the end."""
        done = attempt(*self.argv(argv), cwd=self.root, env=self.environment, timeout=TIMEOUT)
        return replace(done, stderr=without_waits(done.stderr))

    def ov(self, *words: str, code: int | None = 0) -> Ended:
        """Run ``ov`` and expect an exit code (None: any)."""
        done = self.run([*OV, *words])
        assert code is None or done.returncode == code, f"ov {' '.join(words)}: {done}"
        return done

    def doit(self, *words: str, code: int | None = 0) -> Ended:
        """Run ``doit`` and expect an exit code (None: any)."""
        done = self.run([*DOIT, *words])
        assert code is None or done.returncode == code, f"doit {' '.join(words)}: {done}"
        return done

    def plan(self, *words: str) -> dict[str, str]:
        """State by step."""
        steps = json.loads(self.ov("plan", "--json", *words).stdout)["steps"]
        return {step["step"]: step["state"] for step in steps}

    def reasons(self, *words: str) -> dict[str, list[str]]:
        """Texts of the reasons by step, of those that are not fresh."""
        steps = json.loads(self.ov("plan", "--json", *words).stdout)["steps"]
        return {s["step"]: [r["text"] for r in s["reasons"]] for s in steps if s["state"] != "fresh"}

    def files(self) -> dict[str, tuple[int, int, int]]:
        """Everything below ``output/`` that is a result, no log: size, time, inode."""
        found = {}
        for path in sorted((self.root / "output").rglob("*")):
            relative = str(path.relative_to(self.root))
            if path.is_file() and not relative.startswith("output/.ov/") and path.parent.name != "log":
                stat = path.stat()
                found[relative] = (stat.st_size, stat.st_mtime_ns, stat.st_ino)
        return found

    def contents(self) -> dict[str, str]:
        """Digests of all VMs' artifacts; receipts are left out, because they hold times."""
        names = (name for name in self.files() if not name.startswith("output/.") and not name.endswith(".json"))
        return {name: sha256_of(self.root / name) for name in names}

    def leftovers(self) -> list[str]:
        """Half-made files and markers anywhere in the project and the cache."""
        places = [
            self.root,
            *(Path(value) for key, value in {**os.environ, **self.env}.items() if key.startswith("XDG_")),
        ]
        return sorted(
            str(path)
            for place in places
            if place.is_dir()
            for path in place.rglob("*")
            if path.is_file() and (path.name.endswith((".part", ".running", ".link")) or ".part" in path.name)
        )

    def receipt(self, step: Step) -> Receipt:
        found = Receipt.load(step.receipt)
        assert found is not None
        return found


def new_bench(root: Path, env: Mapping[str, str] | None = None, **files: str) -> Workbench:
    """A project in a new folder, with these files: ``dodo="…"`` is dodo.py, ``vms="…"`` vms.yml."""
    root.mkdir()
    names = {"dodo": "dodo.py", "vms": "vms.yml"}
    for name, text in files.items():
        (root / names[name]).write_text(text, encoding="utf-8")
    return Workbench(root, dict(env or {}))


def many_vms(root: Path, count: int, *, shared: bool) -> Workbench:
    """A project of so many VMs that nobody has built, from one URL or from one each."""

    def source(number: int) -> dict[str, Any]:
        url = f"http://127.0.0.1:1/{0 if shared else number}"
        return {"kind": "cloud_image", "url": url, "checksum": {"type": "none"}}

    bench = new_bench(root)
    bench.write({f"vm{number}": {"source": source(number), "ssh": {"key_source": "none"}} for number in range(count)})
    os.utime(root / "vms.yml", (0, 0))  # old enough to be remembered when it was read once
    return bench


EMULATED = {"OV_VM_BACKEND": "qemu", "OV_VM_ACCEL": "tcg"}
"""Environment variables: VMs run by QEMU alone, without KVM."""


def cloud_vm(image: Path, **fields: Any) -> dict[str, Any]:
    """A VM from a local image file, without keys."""
    source = {"kind": "cloud_image", "url": str(image), "checksum": {"type": "none"}}
    return {"source": source, "disk_size": "1G", "ssh": {"key_source": "none"}, **fields}


def ran(output: str) -> list[str]:
    """The steps that a run of doit executed, from its report."""
    return [line.split()[1] for line in output.splitlines() if line.startswith(".  ")]
