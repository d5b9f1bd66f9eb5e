"""The manual page, row by row: each verb and flag of ``ov vm``, ``ov settings`` and ``ov migrate``, and what it prints.

What needs more than an empty disk (a guest that boots, a registry, a terminal) runs where ``ELSEWHERE`` says. A flag in
neither list fails the test.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from ovtasks.cli.commands import COMMANDS
from ovtasks.cli.main import run
from ovtasks.cli.parser import CliCommand, Parser, declare
from tests.support.checkout import ROOT
from tests.support.programs import attempt
from tests.support.rooms import Room, qemu_room

PAGE = ("vm", "migrate", "settings")
VARIABLES = {
    "OV_VM_BACKEND": "cli/test_settings.py",
    "OV_VM_ACCEL": "host/test_settings.py",
    "OV_LIBVIRT_URI": "backends/libvirt/test_features.py",
    "OV_PROJECT_DIR": "graph/test_fast_path.py",
}

# The words after `ov` → exit code, and patterns of what it prints on either channel. They run in this order.
ROWS: tuple[tuple[str, int, tuple[str, ...]], ...] = (
    ("vm build web", 0, ("^output/web/qcow2/disk.qcow2$", "^output/web/qcow2/seed.iso$", r"disk:web  qcow2 disk")),
    ("vm build web", 0, ("^output/web/qcow2/disk.qcow2$",)),
    ("vm build web --size 40M", 0, (r"disk:web  qcow2 disk of web",)),
    ("vm build web --type raw --jobs 2 --continue", 0, ("^output/web/raw/disk.raw$",)),
    ("vm build web --reporter json", 0, (r'"event": "fresh"', r'"event": "artifacts"')),
    ("vm build web --type iso", 2, ("unknown disk format 'iso'", "qcow2 and raw can")),
    ("vm build web --console", 2, ("--console cannot be had for web", "console=ttyS0")),
    ("vm build web --root-size 1G", 2, ("--root-size has no meaning for web", "leave --root-size out")),
    ("vm build desk --root-size 99G", 2, ("99G",)),
    ("vm build web --transport oci", 2, ("--transport has no meaning for web",)),
    ("vm build desk --transport floppy", 2, ("registry, containers-storage, oci, oci-archive",)),
    ("vm build web --locked", 2, ("is not pinned in ovtasks.lock", "ov lock adds it")),
    ("vm build web --refresh", 0, ("^output/web/qcow2/disk.qcow2$",)),
    ("vm create web --no-build", 0, ("backend qemu: QEMU", "OV_VM_BACKEND", "web: disk made, seed rendered, defined")),
    ("vm create web", 0, ("web: nothing to do",)),
    ("vm create web --ram 160M --cpus 2", 0, ("definition changed, in effect from its next start",)),
    ("vm create web --reset --json", 0, ('"vm": "web"', '"changes"')),
    ("vm create web -i dev --ssh-key none", 0, ("web -i dev: disk made, seed rendered, defined, started",)),
    ("vm create web -i gen --no-start --ssh-key generate", 0, ("web -i gen: disk made, seed rendered, defined$",)),
    ("vm create web -i file --no-start --ssh-key {key}", 0, ("web -i file: disk made",)),
    ("vm create web -i auto --no-start --ssh-key auto", 0, ("web -i auto: disk made",)),
    ("vm create web -i far --uri qemu+ssh://none.invalid/session", 1, ("the backend qemu has no connection",)),
    ("vm create nosuch", 2, ("no VM 'nosuch'",)),
    ("vm list", 0, (r"^NAME +INSTANCE +BACKEND +STATE", r"^web +- +qemu +running", r"^web +dev +qemu +running")),
    ("vm list -a", 0, (r"^web +gen +qemu +stopped", r"^web +auto +qemu +stopped")),
    ("vm list --all --json", 0, ('"domain": "ov-web-dev"', '"state": "stopped"')),
    ("vm status web", 0, (r"^state +running", r"^ssh +me@127.0.0.1:\d+", r"^host key +expected")),
    ("vm status web -i dev", 0, (r"^overrides +--ssh-key none",)),
    ("vm status web -i dev --json", 0, ('"instance": "dev"',)),
    ("vm ip web", 0, (r"^127\.0\.0\.1:\d+$",)),
    ("vm ip web -i dev --json", 0, ('"address": "127.0.0.1"',)),
    ("vm logs web --lines 5", 0, ()),
    ("vm logs web -i dev", 0, ()),
    ("vm logs web -i auto --follow", 1, ("has printed nothing yet", "ov vm start web -i auto")),
    ("vm console web -i auto --log", 0, ("web -i auto does not run; there is no log yet: .*log",)),
    ("vm console web -i auto", 1, ("web -i auto is stopped", "ov vm start web -i auto")),
    ("vm scp -r -l root -i auto web a :b", 1, ("web -i auto is stopped",)),
    ("vm wait web -i auto --json --probe true", 1, ("web -i auto is not running",)),
    ("vm xml web -i dev", 0, ("<name>ov-web-dev</name>", "runs by qemu; this is what libvirt would run")),
    ("vm argv web -i dev", 0, ("guest=ov-web-dev",)),
    ("vm argv web -i dev --json --for-host", 0, ('"guest=ov-web-dev,debug-threads=on"',)),
    ("vm diff web -i dev", 0, ("^$",)),
    ("vm diff web -i dev --json", 0, (r"[\[{]",)),
    ("vm ssh-config web", 0, ("^Host ov-web$", "StrictHostKeyChecking yes")),
    ("vm ssh-config web -i dev", 0, ("^Host ov-web-dev$",)),
    ("vm ssh-config web --install", 0, ("Include|config",)),
    ("vm ssh-config web --remove", 0, ()),
    ("vm ssh web -p 2224 -l arch", 0, ("^ssh .*User=arch", "Port=2224|-p 2224", "HostKeyAlias=ov-web")),
    ("vm ssh web -i dev --port 2225 --user root -- ls /tmp", 0, ("HostKeyAlias=ov-web-dev.* ls /tmp$", "User=root")),
    ("vm wait web -i dev --timeout 1 --for boot", 1, ("web -i dev: not ready", "it came as far as: started")),
    ("vm screenshot web -i dev", 1, ("no console to take a screendump from", "libvirt.devices.video")),
    ("vm screenshot web -i dev --screen 1", 1, ("has no display 1", "libvirt.devices.video")),
    ("vm view web -i dev", 1, ("web -i dev is headless", "ov vm console", "graphics")),
    ("vm view web --type vnc --address", 1, ("web is headless",)),
    ("vm sendkey web -i dev --hold 10 ctrl a", 0, ()),
    ("vm sendkey web nosuchkey", 2, ("nosuchkey",)),
    ("vm type web -i dev --enter hello", 0, ()),
    ("vm snapshot create web one --desc first", 0, ("web: snapshot one made",)),
    ("vm snapshot create web two --disk-only -i dev", 0, ("web -i dev: snapshot two made",)),
    ("vm snapshot list web", 0, (r"NAME +CREATED +DESCRIPTION", r"one .*first")),
    ("vm snapshot list web -i dev --json", 0, ('"name": "two"',)),
    ("vm snapshot info web one", 0, ('"description": "first"',)),
    ("vm snapshot info web two -i dev", 0, ('"name": "two"',)),
    ("vm snapshot revert web one", 3, ("web is running", "ov vm stop web")),
    ("vm snapshot revert web two -i dev --force", 0, ("web -i dev: its disk is what it was at two",)),
    ("vm stop web --force", 0, ("web: plug pulled",)),
    ("vm stop web", 0, ("was stopped",)),
    ("vm console web --log", 0, ("web does not run; (this is the log of its last run|there is no log yet): .*log",)),
    ("vm snapshot revert web one", 0, ("web: its disk is what it was at one",)),
    ("vm snapshot delete web one", 0, ("web: snapshot one deleted",)),
    ("vm snapshot delete web two -i dev", 0, ("web -i dev: snapshot two deleted",)),
    ("vm start web -i gen", 0, ("web -i gen: started",)),
    ("vm start web -i gen", 0, ("is running already",)),
    ("vm restart web -i gen --force", 0, ("web -i gen: plug pulled", "web -i gen: started")),
    ("vm restart web -i gen --timeout 1", 0, ("it was powered off", "web -i gen: started")),
    ("vm stop web -i gen --timeout 1", 0, ("it was powered off",)),
    ("vm destroy web -i gen --expired", 0, ()),
    ("vm destroy web -i gen", 0, ("web -i gen: ",)),
    ("vm start web -i gen", 2, ("is not defined",)),
    ("vm destroy web -i gen --disk", 0, ("web -i gen: ",)),
    ("vm destroy web -i gen --disk", 0, ("does not exist",)),
    ("vm suspend web -i dev", 0, ("web -i dev: suspended",)),
    ("vm resume web -i dev", 0, ("web -i dev: running",)),
    ("vm reset web -i dev", 0, ("web -i dev: reset",)),
    ("vm suspend --all", 1, ("web -i dev: suspended", "web -i file is not running")),
    ("vm resume --all", 1, ("web -i dev: running", "web -i file is not running")),
    ("vm reset --all", 1, ("web -i dev: reset", "ov vm start web -i file")),
    ("vm restart --all --force", 0, ("web: was stopped", "web -i dev: plug pulled", "web -i file: started")),
    ("vm stop --all --force", 0, ("web: plug pulled", "web -i file: plug pulled")),
    ("vm start --all", 0, ("web: started", "web -i auto: started")),
    ("vm snapshot create web three -i dev --no-quiesce", 0, ("snapshot three made",)),
    ("vm destroy --all --disk --yes", 0, ("web: destroyed", "web -i dev: destroyed")),
    ("vm create web --no-build --no-start --mount none", 2, ("--mount: 'none' is not a mount",)),
    ("vm run web --no-build --mount none", 2, ("--mount: 'none' is not a mount",)),
    ("vm run web --no-build --ram 128M --cpus 1 -l me --for ssh --timeout 1 -- true", 1, ("web -i run-",)),
    ("migrate --dry-run", 0, ()),
    ("migrate vm-spec --output new", 0, ()),
    ("migrate --all", 0, ()),
    ("migrate nosuch", 2, ("vm-spec",)),
    ("settings path", 0, (r"settings\.yml$",)),
    ("settings list", 0, (r"^KEY +VALUE +FROM +MEANING", r"^vm.backend +qemu")),
    ("settings list --json", 0, ('"key": "vm.backend"',)),
    ("settings set vm.backend libvirt", 0, ("OV_VM_BACKEND is set and wins",)),
    ("settings get vm.backend", 0, ("^qemu$",)),
    ("settings reset vm.backend", 0, ()),
    ("settings set engine.rootful machine", 0, ()),
    ("settings get engine.rootful", 0, ("^machine$",)),
    ("settings reset", 0, ()),
)

# What runs somewhere else → the file below tests/ that has it in these words.
ELSEWHERE = {
    "vm edit": "instance/test_edit.py",
    "vm edit --json": "instance/test_edit.py",
    "vm snapshot create --memory": "boot/snapshots.py",
    "vm clone --from": "instance/test_clone.py",
    "vm clone --cloud-init-clean": "instance/test_clone.py",
    "vm clone --build": "instance/test_clone.py",
    "vm clone --dry-run": "instance/test_clone.py",
    "vm xml --for-host": "instance/test_definition.py",
    "vm clone": "instance/test_clone.py",
    "vm scp --accept-new-host-key": "instance/test_access.py",
    "vm ssh --accept-new-host-key": "instance/test_access.py",
    "vm wait --accept-new-host-key": "instance/test_access.py",
    "vm import": "instance/test_import.py",
    "vm import --name": "instance/test_import.py",
    "vm import --copy": "instance/test_import.py",
    "vm import --reference": "instance/test_import.py",
}


def verbs(command: CliCommand, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Sequence[argparse.Action]]]:
    """Each command below ``command`` that runs something, and its flags."""
    words = (*words, command.name)
    for verb in command.verbs:
        yield from verbs(verb, words)
    if not command.verbs:
        parser = Parser(prog=command.name)
        declare(parser, command)
        yield " ".join(words), [one for one in parser._actions if one.option_strings and one.dest != "help"]


def tried(verb: str, flag: argparse.Action | None = None) -> bool:
    """Whether a row has the verb, with the flag by any of its names."""
    said = [f" {words} ".partition(" -- ")[0] + " " for words, _, _ in ROWS if f"{words} ".startswith(f"{verb} ")]
    return any(flag is None or any(f" {name} " in one for name in flag.option_strings) for one in said)


def missing() -> Iterator[str]:
    for command in COMMANDS:
        for verb, flags in verbs(command) if command.name in PAGE else ():
            if not tried(verb) and verb not in ELSEWHERE:
                yield verb
            names = [f"{verb} {flag.option_strings[-1]}" for flag in flags if not tried(verb, flag)]
            yield from (name for name in names if name not in ELSEWHERE)


def test_every_verb_and_flag_has_a_row() -> None:
    assert [*missing()] == []


@pytest.mark.parametrize("words", [*ELSEWHERE])
def test_what_runs_elsewhere_runs_there(words: str) -> None:
    text = (ROOT / "tests" / ELSEWHERE[words]).read_text(encoding="utf-8")
    verb, _, flag = words.partition(" --")
    for word in (verb.split()[-1], f"--{flag}" if flag else ""):
        short = {"--instance": "-i", "--recursive": "-r", "--user": "-l"}.get(word, word)
        assert f'"{word}"' in text or f'"{short}"' in text or f" {word}" in text or f" {short}" in text, word


def test_every_variable_is_tried_somewhere() -> None:
    for name, file in VARIABLES.items():
        assert name in (ROOT / "tests" / file).read_text(encoding="utf-8"), name


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    """A project with ``web``, an empty disk, and ``desk``, which is not built; ``ssh`` prints its arguments."""
    with qemu_room(tmp_path) as made:
        data = json.loads((made.project / "vms.yml").read_text())
        data["vms"]["desk"] = {"source": {"kind": "bootc", "image": "quay.io/a/b:1"}, "disk_size": "10G"}
        (made.project / "vms.yml").write_text(json.dumps(data))
        (tmp_path / "home" / ".ssh").mkdir(parents=True)
        (tmp_path / "bin").mkdir()
        ssh = tmp_path / "bin" / "ssh"
        ssh.write_text('#!/bin/sh\necho "ssh $*"\n')
        ssh.chmod(0o755)
        made.env.update(HOME=str(tmp_path / "home"), PATH=f"{tmp_path / 'bin'}:{made.env['PATH']}")
        for name in ("HOME", "PATH", "XDG_DATA_HOME", "OV_VM_BACKEND", "OV_VM_ACCEL"):
            monkeypatch.setenv(name, made.env[name])
        monkeypatch.chdir(made.project)
        try:
            yield made
        finally:
            for instance in ((), ("-i", "dev"), ("-i", "gen"), ("-i", "file"), ("-i", "auto")):
                made.ov("vm", "destroy", "--disk", "web", *instance, code=None)


@pytest.mark.slow
def test_the_rows(room: Room, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """In one process, but for what becomes another program."""
    key = tmp_path / "home" / ".ssh" / "id_ed25519.pub"
    assert shutil.which("ssh-keygen")
    attempt("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", os.fspath(key).removesuffix(".pub"))
    wrong = []
    for line, expected, patterns in ROWS:
        words = line.format(key=key).split()
        capfd.readouterr()
        if words[:2] == ["vm", "ssh"]:
            said, code = room.ov(*words, code=None), 0
        else:
            try:
                code = run(words)
            except SystemExit as end:  # argparse's own errors
                code = int(str(end.code))
            said = "\n".join(capfd.readouterr())
        lacks = [one for one in patterns if not re.search(one, said, re.MULTILINE)]
        if code != expected or lacks:
            wrong.append(f"ov {line}: {code}, without {lacks}:\n{said}")
    assert not wrong, "\n".join(wrong)
