"""cloud_init.ov_install: ov itself in the guest, put there, checked and taken out by deployments."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from ovtasks.deploy.stamp import was_of
from ovtasks.deploy.wanted import find_deployment
from ovtasks.project.load import load_project
from ovtasks.project.model import CloudInit, OvInstall
from tests.deploy.guest import SPEC, Guest
from tests.support.server import Site, serve

pytestmark = pytest.mark.slow  # each begins with a guest that nobody knows

PROGRAM = "#!/bin/sh\necho ov 9.9\n"
SUM = hashlib.sha256(PROGRAM.encode()).hexdigest()


def wants(guest: Guest, block: str) -> None:
    """The VM has this ``ov_install``."""
    text = f"vms:\n  web:\n    {SPEC}\n    cloud_init: {{ov_install: {block}}}\n"
    (guest.project / "vms.yml").write_text(text, encoding="utf-8")


def program(guest: Guest, path: str, text: str) -> Path:
    """A program of the guest; its ``/usr/local`` is ``/local`` in the root."""
    made = guest.root / path
    made.parent.mkdir(parents=True, exist_ok=True)
    made.write_text(text)
    made.chmod(0o755)
    return made


def pythons(guest: Guest, text: str) -> None:
    """Pythons that come before those of this machine."""
    for name in ("python3", "python3.14", "python3.13", "python3.12", "python3.11"):
        program(guest, f"opt/bin/{name}", f"#!/bin/sh\n{text}\n")


def test_the_own_installation(guest: Guest) -> None:
    """What ov depends on would come from an index; here pip is told to do without."""
    (guest.root / "etc/pip.conf").write_text("[install]\nno-deps = true\nno-index = true\n")
    wants(guest, "{strategy: auto}")
    guest.layer("base", "tasks:\n- {write: /etc/motd, content: hello}\n")
    said = guest.ov("deploy", "add", "vm:web", "base", "--allow-root-tasks", "--json")
    assert [one["layer"] for one in json.loads(said)["layers"]] == ["ov_install", "base"]
    venv = "/usr/local/lib/ovtasks/venv"
    assert re.search(rf"/usr/local/bin/ov runs from {venv}, by Python 3\.\d+", guest.said), guest.said
    assert (guest.root / "local/bin/ov").readlink() == Path(venv, "bin/ov")
    assert [
        *(guest.root / "local/lib/ovtasks/venv/lib").glob("python3.*/site-packages/ovtasks/schemas/vms.schema.json")
    ]

    guest.connections()
    guest.ov("deploy", "add", "vm:web")
    assert "nothing to do" in guest.said and guest.connections() == 0
    assert re.search(r"keep +ov_install +unchanged", guest.ov("deploy", "plan", "vm:web"))
    drifted = guest.ov("deploy", "status", "vm:web", "--drift")
    assert "ov_install" in drifted

    wants(guest, "{strategy: skip}")
    plan = guest.ov("deploy", "plan", "vm:web")
    assert re.search(r"redo +ov_install +check that ov is there: new", plan), plan
    guest.ov("deploy", "add", "vm:web", code=1)
    assert "the guest has no ov" in guest.said and "strategy: auto installs it" in guest.said
    wants(guest, "{strategy: scp}")
    guest.ov("deploy", "add", "vm:web")
    assert "redone" in guest.said and "base" not in guest.said
    guest.ov("deploy", "del", "vm:web", "-y")
    assert not [*(guest.root / "local").iterdir()]
    assert not (guest.root / "etc/motd").exists()


def test_a_guest_that_cannot_have_it(guest: Guest) -> None:
    """Told before anything is changed; the layers of the deployment wait."""
    wants(guest, "{}")
    guest.layer("base", "tasks:\n- {write: /etc/motd, content: hello}\n")
    add = ("deploy", "add", "vm:web", "base", "--allow-root-tasks")
    pythons(guest, "exit 127")
    guest.ov(*add, code=1)
    assert "needs Python 3.11 or newer, and the guest has none: add it to cloud_init.packages" in guest.said
    pythons(guest, "case $2 in *print*) echo 3.9 ;; *) exit 1 ;; esac")
    guest.ov(*add, code=1)
    assert "Python 3.11 or newer, and the guest has 3.9 3.9 3.9 3.9 3.9: add" in guest.said
    pythons(guest, "case $2 in *print*) echo 3.12 ;; *ensurepip*) exit 1 ;; esac")
    guest.ov(*add, code=1)
    assert "the guest's Python has no venv: add its package (python3-venv in Debian" in guest.said
    made = 'venv) mkdir -p "$4/bin"; cp "$0" "$4/bin/python" ;; pip) echo no index; exit 1 ;;'
    pythons(guest, f"case $2 in *print*) echo 3.12 ;; {made} esac")
    guest.ov(*add, code=1)
    assert "no index" in guest.said and "pip cannot install ov: what it depends on" in guest.said
    assert "--python-version 3.12 '" in guest.said and "'paramiko>=3" in guest.said
    assert "ov vm scp -r web wheels :/var/tmp/" in guest.said and "PIP_FIND_LINKS: /var/tmp/wheels" in guest.said
    assert not (guest.root / "etc/motd").exists() and not (guest.root / "local/bin").exists()
    guest.ov("deploy", "del", "vm:web", "-y")
    assert not [*(guest.root / "local").iterdir()]
    (guest.root / "local/lib/ovtasks/venv").mkdir(parents=True)
    guest.ov(*add, code=1)
    assert "is there, and no record says who made it: remove it" in guest.said
    guest.layer("ov_install", "tasks: []\n")
    guest.ov(*add, "--add-layer", "ov_install", code=2)
    assert "a layer cannot be called ov_install" in guest.said


def test_from_a_url(guest: Guest, tmp_path: Path) -> None:
    with serve(Site({"/ov": PROGRAM.encode(), "/bad": b"#!/bin/sh\nexit 9\n"})) as site:
        block = f"strategy: url, url: '{site.url}/%s', checksum: 'sha256:%s'"
        older = program(guest, "local/bin/ov", "#!/bin/sh\necho older\n")
        wants(guest, f"{{{block % ('ov', '0' * 64)}}}")
        guest.ov("deploy", "add", "vm:web", code=1)
        assert f"what was downloaded as ov is sha256:{SUM}, and not sha256:{'0' * 64}" in guest.said
        assert older.read_text() == "#!/bin/sh\necho older\n" and [*older.parent.iterdir()] == [older]
        wants(guest, f"{{{block % ('ov', SUM.upper())}}}")
        guest.ov("deploy", "add", "vm:web")
        assert older.read_text() == PROGRAM and older.stat().st_mode & 0o777 == 0o755 and "ov 9.9" in guest.said
        wants(guest, f"{{strategy: url, url: '{site.url}/none'}}")
        older.unlink()
        guest.ov("deploy", "add", "vm:web")  # the one before is back, and runs
        assert older.read_text() == "#!/bin/sh\necho older\n"
        guest.ov("deploy", "del", "vm:web", "-y")
        older.unlink()
        guest.ov("deploy", "add", "vm:web", code=1)
        assert f"ov cannot be downloaded from {site.url}/none" in guest.said and not [*older.parent.iterdir()]
        wants(guest, f"{{strategy: url, url: '{site.url}/ov'}}")
        guest.ov("deploy", "add", "vm:web")
        assert f"ov is not pinned; checksum: sha256:{SUM} would do that" in guest.said
        wants(guest, f"{{strategy: url, url: '{site.url}/bad'}}")
        guest.ov("deploy", "add", "vm:web", code=1)
        assert "/usr/local/bin/ov does not run" in guest.said
        guest.ov("deploy", "del", "vm:web", "-y")
        assert not older.exists()


def test_skip_only_looks(guest: Guest) -> None:
    wants(guest, "{strategy: skip}")
    guest.ov("deploy", "add", "vm:web", code=1)
    assert "the guest has no ov, and ov_install has strategy: skip" in guest.said
    there = program(guest, "local/bin/ov", "#!/bin/sh\necho broken >&2\nexit 1\n")
    guest.ov("deploy", "add", "vm:web", code=1)
    assert "ov does not run: broken" in guest.said
    there.write_text(PROGRAM)
    guest.ov("deploy", "add", "vm:web")
    project = load_project(guest.project)
    deployment, vm = find_deployment(project, "vm:web"), project.vms["web"]
    other = replace(vm, cloud_init=CloudInit(ov_install=OvInstall("scp")))
    assert was_of(guest.record, deployment, vm) and not was_of(guest.record, deployment, other)
    guest.ov("deploy", "del", "vm:web", "-y")
    assert there.read_text() == PROGRAM
