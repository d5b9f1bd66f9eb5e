"""``ov doctor``: this machine as it is, to root and to an ordinary user; then with programs missing and broken."""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ovtasks.cli import doctor
from ovtasks.errors import OvError
from ovtasks.host import accel
from ovtasks.host.doctor import (
    Check,
    CheckState,
    Finding,
    Verdict,
    checks,
    examine,
    healthy,
)
from ovtasks.host.doctor.verdict import ok
from ovtasks.host.packages import package_hint
from ovtasks.host.run import require, run, which
from tests.host.conftest import script
from tests.support import leftovers
from tests.support.checkout import ROOT
from tests.support.checkout import run as start
from tests.support.output import checked
from tests.support.user import new_user

pytestmark = pytest.mark.slow  # many runs of whole programs

NEEDED = ["qemu-img", "qemu", "accelerator"]
EMULATOR = f"qemu-system-{accel.host_arch()}"


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a path short enough for Unix sockets; it has to be empty at the end."""
    with leftovers.folder("t", "/tmp") as folder:
        yield Path(folder)
        assert os.listdir(folder) == []  # noqa: PTH208 - names only


def ov(*words: str, **changes: str) -> tuple[int, str]:
    """Exit status and what ``ov doctor`` says on stdout."""
    done = start(sys.executable, "-c", "import sys; from ovtasks.cli import main; sys.exit(main())", *words,
                 cwd=ROOT, env={**os.environ, **changes})  # fmt: skip
    return done.returncode, done.stdout


def alone(look: Any) -> Finding:
    """What comes of one check."""
    return examine([Check("it", look)])[0]


def assert_sound(findings: list[Mapping[str, Any]]) -> None:
    names = [finding["name"] for finding in findings]
    assert len(set(names)) == len(names)
    assert [finding["name"] for finding in findings if finding["needed"]] == NEEDED
    for finding in findings:
        assert set(finding) == {"name", "state", "detail", "hint", "needed"}
        assert finding["state"] in {"ok", "note", "missing", "broken"}, finding
        assert finding["detail"], finding
        assert "\n" not in finding["detail"] + (finding["hint"] or ""), finding
        assert finding["hint"] or finding["state"] in {"ok", "note"}, finding


def test_this_machine(short: Path) -> None:
    started = time.monotonic()
    status, text = ov("doctor", "--json", TMPDIR=str(short))
    findings = checked("ov doctor", text)
    assert status == 0, text
    assert time.monotonic() - started < 60
    assert_sound(findings)
    by_name = {finding["name"]: finding for finding in findings}
    assert "libvirt session" in by_name
    for name in NEEDED:
        assert by_name[name]["state"] in {"ok", "note"}, by_name[name]
    assert by_name["accelerator"]["detail"].startswith(accel.usable(accel.host_arch())[0])
    for name in ("qemu-img", "qemu", "bios", "uefi-insecure", "ssh"):
        assert by_name[name]["state"] == "ok", by_name[name]
    expected = "output"
    assert by_name["space output"]["detail"].endswith(str(ROOT / expected))


def test_text_says_the_same(short: Path) -> None:
    status, text = ov("doctor", TMPDIR=str(short))
    assert status == 0
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("hint: ")]
    found = [re.fullmatch(r"(ok|note|missing|broken) +\*?(\S+(?: \S+)?) {2,}(\S.*)", line) for line in lines]
    assert all(found), text
    assert [line.split("*")[1].split()[0] for line in lines if line[8] == "*"] == NEEDED


def test_quiet_says_only_what_is_wrong(short: Path) -> None:
    _, text = ov("-q", "doctor", TMPDIR=str(short))
    assert not re.search(r"^(ok|note)\b", text, re.MULTILINE)


def test_outside_of_a_project(tmp_path: Path, short: Path) -> None:
    status, text = ov("-C", str(tmp_path), "doctor", "--json", TMPDIR=str(short))
    assert status == 0
    assert json.loads(text)[-1]["detail"].endswith(f"{tmp_path}/output")
    assert not (tmp_path / "output").exists()
    assert not (tmp_path / "xdg").exists(), "looked at, not made"


def test_an_ordinary_user() -> None:
    """All of it works for one, too, and nothing is left in the home folder or running."""
    with new_user(subordinate=False) as user:
        before = files(user.home)
        process = user.start("tests.host.report")
        out = process.communicate(timeout=300)[0].decode()
        findings = json.loads(out)
        assert process.returncode == 0
        assert_sound(findings)
        by_name = {finding["name"]: finding for finding in findings}
        for name in (*NEEDED, "bios", "uefi-insecure", "ssh"):
            assert by_name[name]["state"] in {"ok", "note"}, by_name[name]
        if user.words:  # a user made here; without root the test is its own user
            assert by_name["subuid"]["state"] == "missing"
            assert by_name["loop"]["state"] != "ok"
            said = run(["ps", "-u", user.name, "-o", "stat=,args="], check=False).stdout.splitlines()
            assert [line for line in said if not line.startswith("Z")] == []
        assert files(user.home) == before


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if "__pycache__" not in path.parts}


def test_nothing_in_path(short: Path) -> None:
    """What is missing names its package, and a VM cannot run."""
    status, text = ov("doctor", "--json", TMPDIR=str(short), PATH="/nonexistent")
    findings = {finding["name"]: finding for finding in json.loads(text)}
    assert_sound(list(findings.values()))
    programs = {"qemu-img": "qemu-img", "qemu": EMULATOR, "accelerator": EMULATOR, "ssh": "ssh", "podman": "podman"}
    programs |= {"passt": "passt", "swtpm": "swtpm", "spice": EMULATOR, "virtio-gpu": EMULATOR, "bios": EMULATOR}
    for name, program in programs.items():
        if Path("/usr/sbin", program).exists() or (program == EMULATOR and Path("/usr/libexec/qemu-kvm").exists()):
            continue  # found even so: PATH lacks it for ordinary users of some distributions
        assert findings[name]["state"] == "missing", findings[name]
        assert findings[name]["hint"] == package_hint(program)
    if not Path("/usr/sbin/qemu-img").exists():
        assert status == 1


def test_optional_things_are_no_failure(bin: Path, short: Path) -> None:
    """Only what is needed is in PATH."""
    for program in ("qemu-img", EMULATOR):
        (bin / program).symlink_to(require(program))
    status, text = ov("doctor", "--json", TMPDIR=str(short), PATH=str(bin))
    states = {finding["name"]: finding["state"] for finding in json.loads(text)}
    assert status == 0, text
    assert Path("/usr/sbin/podman").exists() or states["podman"] == states["ssh"] == "missing"


@pytest.mark.parametrize(
    ("name", "program", "text", "detail"),
    [
        ("qemu-img", "qemu-img", "echo 'error while loading libfoo.so' >&2; exit 127", "qemu-img: error while loading"),
        ("qemu-img", "qemu-img", "[ $1 = --version ] || exit 3", "qemu-img ended with status 3"),
        ("qemu", EMULATOR, "echo QEMU emulator version 4.2.1", "is 4.2.1, older than 6.2"),
        ("qemu", EMULATOR, "echo nonsense", "is unknown version, older than 6.2"),
        ("accelerator", EMULATOR, "echo 'could not load firmware' >&2; exit 1", f"{EMULATOR}: could not load"),
    ],
)
def test_needed_things_broken(bin: Path, short: Path, name: str, program: str, text: str, detail: str) -> None:
    script(bin / program, text)
    status, said = ov("doctor", "--json", TMPDIR=str(short))
    finding = next(finding for finding in json.loads(said) if finding["name"] == name)
    assert status == 1
    assert finding["state"] == "broken"
    assert detail in finding["detail"]


def fails_ov(scratch: Path) -> Verdict:
    raise OvError("two\nlines", hint="do it")


def fails_os(scratch: Path) -> Verdict:
    (scratch / "none").read_text()
    return ok("no")


def hangs(scratch: Path) -> Verdict:
    (scratch / "left").write_text("behind")
    run(["sleep", "4321.5"])
    return ok("no")


def test_each_check_has_a_folder_and_a_deadline() -> None:
    folders: list[Path] = []
    meeting = threading.Barrier(2, timeout=20)

    def side_by_side(scratch: Path) -> Verdict:
        meeting.wait()
        folders.append(scratch)
        return ok(str(scratch.is_dir()))

    started = time.monotonic()
    named = [Check("a", side_by_side), Check("b", side_by_side), Check("c", hangs, needed=True)]
    found = examine([*named, Check("d", fails_ov), Check("e", fails_os)], deadline=2)
    assert time.monotonic() - started < 60
    assert [finding.state for finding in found] == ["ok", "ok", "broken", "broken", "broken"]
    assert found[2].detail == "no answer within 2 s"
    assert (found[3].detail, found[3].hint) == ("two lines", "do it")
    assert "No such file" in found[4].detail
    assert not healthy(found)
    assert healthy([finding for finding in found if not finding.needed])
    assert len(set(folders)) == 2
    assert not any(folder.parent.exists() for folder in folders)
    assert "4321.5" not in run(["ps", "-e", "-o", "args="]).stdout if which("ps") else True


def test_a_note_is_no_failure() -> None:
    assert healthy([Finding("a", CheckState.NOTE, "", needed=True), Finding("b", CheckState.MISSING, "")])
    assert not healthy([Finding("a", CheckState.MISSING, "", needed=True)])


def test_session_takes_its_place(tmp_path: Path) -> None:
    names = [check.name for check in checks(tmp_path, session=Check("libvirt session", fails_ov))]
    assert names.index("libvirt session") == names.index("kvm") + 1
    assert len(names) == len(checks(tmp_path)) + 1


@pytest.mark.parametrize(
    ("hint", "state"),
    [
        ("apt-get install libvirt-daemon, then start it", "missing"),
        ("pip install 'ovtasks[libvirt]', or so", "missing"),
        ("join the group", "broken"),
        (None, "broken"),
    ],
)
def test_libvirt_session_missing_or_broken(monkeypatch: pytest.MonkeyPatch, hint: str | None, state: str) -> None:
    def session() -> str:
        raise OvError("no\n  | daemon", hint=hint)

    monkeypatch.setattr("ovtasks.backends.libvirt.check.session", session)
    found = alone(doctor._session)
    assert (found.state, found.detail) == (state, "no | daemon")
    assert found.hint == (hint or "backend: qemu needs no libvirt")
