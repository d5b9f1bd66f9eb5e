"""What a command loads: the most modules of ours for each, so that it stays so. Each is one process.

The third column is what the command loaded before a command came to import only what it needs. docs/speed.md has the
times; `./doitw bench` measures them.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator

import pytest

from tests.support.programs import attempt
from tests.support.workbench import DODO, EMULATED, Workbench, cloud_vm, make_image, new_bench

OV = "import sys; sys.argv[0] = 'ov'; from ovtasks.cli import main; sys.exit(main())"
# The stopped VM of the fixture, after its backend was asked: a running one would cost each test a QEMU.
RUNNING = """
import dataclasses
from ovtasks.backends.contract import VmState
from ovtasks.instance import status as asked
real = asked.statuses
def statuses(records):
    return {domain: dataclasses.replace(now, state=VmState.RUNNING) for domain, now in real(records).items()}
asked.statuses = statuses
"""
DOIT = "import sys; sys.argv[0] = 'doit'; from doit.__main__ import main; sys.exit(main())"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    """A project with one VM: built, created, never started, its host key taken for seen. And a program called ssh."""
    folder = tmp_path_factory.mktemp("imports")
    make_image(folder / "image.qcow2")
    homes = {name: str(folder / name) for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")}
    bench = new_bench(folder / "p", {**EMULATED, **homes}, dodo=DODO)
    bench.write({"web": cloud_vm(folder / "image.qcow2", ssh={"key_source": "generate", "user": "me"})})
    for _ in range(2):  # the second one finds nothing to do, and notes it
        bench.ov("vm", "create", "--no-start", "web")
    record = folder / "XDG_DATA_HOME" / "ov" / "vm" / "ov-web" / "instance.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "host_key": "confirmed"}), encoding="utf-8")
    programs = folder / "bin"
    programs.mkdir()
    (programs / "ssh").write_text("#!/bin/sh\necho became ssh\n", encoding="utf-8")
    (programs / "ssh").chmod(0o755)
    bench.env["PATH"] = f"{programs}:{os.environ['PATH']}"
    bench.ov("vm", "list", "-a")  # notes what a create would change
    yield bench
    bench.ov("vm", "destroy", "--disk", "web")


def loaded(world: Workbench, script: str, words: list[str]) -> tuple[str, list[str]]:
    """What it printed, and the modules of ours that it has imported, until it ends or becomes another program."""
    done = attempt(
        *(sys.executable, "-X", "importtime", "-c", script, *words), cwd=world.root, env=world.environment, timeout=120
    )
    assert done.returncode == 0, done
    lines = [line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")]
    assert "os" in lines or "pathlib" in lines, done.stderr
    return done.stdout, sorted(name for name in lines if name.partition(".")[0] == "ovtasks")


@pytest.mark.parametrize(
    ("script", "words", "before", "most", "says"),
    [
        (OV, ["--help"], 122, 12, "exit codes:"),
        (OV, ["vm", "--help"], 122, 12, "print the address of the guest"),
        (OV, ["vm", "list", "-a"], 221, 52, "web"),
        (OV, ["vm", "status", "web"], 221, 68, "stale        no"),
        (RUNNING + OV, ["vm", "ssh", "web", "--", "true"], 208, 54, "became ssh"),
        (RUNNING + OV, ["vm", "ip", "web"], 201, 45, "127.0.0.1:"),
        (OV, ["vm", "stop", "web"], 201, 54, ""),
        (OV, ["validate"], 137, 60, "1 VM valid"),
        (DOIT, ["list"], 108, 72, "build"),
        (DOIT, ["build:web"], 140, 72, ""),
    ],
    ids=["help", "vm help", "list", "status", "ssh", "ip", "stop", "validate", "doit list", "doit build"],
)
def test_a_command_imports_what_it_needs(
    world: Workbench, script: str, words: list[str], before: int, most: int, says: str
) -> None:
    said, modules = loaded(world, script, words)
    assert says in said
    assert len(modules) <= most, f"{len(modules)} modules of ours (once {before}, at most {most}): {modules}"


def test_the_parser_knows_no_command_s_work(world: Workbench) -> None:
    """Asking for help loads the table of commands, and none of what they do."""
    _, modules = loaded(world, OV, ["--help"])
    rooms = {name.split(".")[1] for name in modules if "." in name}
    assert rooms <= {"cli", "errors", "host"}, modules
    assert [name for name in modules if name.startswith("ovtasks.cli.")] == [
        f"ovtasks.cli.{name}" for name in ("commands", "examples", "interrupts", "main", "parser", "streams")
    ]
