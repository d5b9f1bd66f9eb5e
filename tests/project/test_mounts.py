"""``mounts:``: what a line means, what is refused, and with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovtasks.errors import InputError
from ovtasks.project.load import load_project
from ovtasks.project.mounts import line_of, mount_of, written_parts
from ovtasks.values.mount import Mount
from tests.support.projects import CLOUD, errors_of, place, vm_of, write


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("./src:/src", ("./src", "/src")),
        ("./a b:/c d:ro", ("./a b", "/c d", True)),
        ("/x:/y:rw", ("/x", "/y", False)),
        (r"./a\:b:/c\:d", ("./a:b", "/c:d")),
        (r"./a\\:/b\:", ("./a\\", "/b:")),
        ("~/src:/src", ("~/src", "/src")),
    ],
)
def test_a_line(text: str, parts: tuple[object, ...]) -> None:
    names = ("source", "target", "read_only")
    assert written_parts(text) == dict(zip(names, parts, strict=False))


@pytest.mark.parametrize("text", ["", "a", "a:", ":/b", "a:/b:c", "a:/b:ro:", "a::/b", "a:/b:"])
def test_no_line(text: str) -> None:
    with pytest.raises(InputError, match="is not a mount") as caught:
        written_parts(text)
    assert "./src:/src" in str(caught.value.hint)


def test_of_a_vm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA", "/srv/data")
    full = "{source: 'x: y', target: /x, read_only: yes, transport: 9p}"
    assert vm_of(tmp_path, f"mounts: ['./src:/src:ro', '${{DATA}}/in:/in', {full}]").mounts == (
        Mount(tmp_path / "src", "/src", read_only=True),
        Mount(Path("/srv/data/in"), "/in"),
        Mount(tmp_path / "x: y", "/x", read_only=True, transport="9p"),
    )
    assert vm_of(tmp_path, "").mounts == ()


def test_another_value_of_the_variable_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, f"vms: {{a: {{source: {CLOUD}, mounts: ['${{DATA}}:/in']}}}}")
    for value in ("/one", "/two"):
        monkeypatch.setenv("DATA", value)
        assert load_project(tmp_path).vms["a"].mounts[0].source == Path(value)


def test_inherited_from_another_folder(tmp_path: Path) -> None:
    write(tmp_path, "includes: [base/vms.yml]\nvms: {a: {extends: .b}, c: {extends: .b, mounts: ['./own:/own']}}")
    mounts = "['./src:/src:ro', {source: ../up, target: /up}, '/x:/y']"
    write(tmp_path, f"vms: {{.b: {{source: {CLOUD}, mounts: {mounts}}}}}", "base/vms.yml")
    vms = load_project(tmp_path).vms
    assert [one.source for one in vms["a"].mounts] == [tmp_path / "base/src", tmp_path / "up", Path("/x")]
    assert vms["a"].mounts[0].read_only and [one.source for one in vms["c"].mounts] == [tmp_path / "own"]


@pytest.mark.parametrize(
    ("item", "message", "hint"),
    [
        ("'src'", "'src' is not a mount", "./src:/src"),
        ("'./a:b'", "the guest's folder 'b' is not absolute", "./src:/src"),
        ("'./a:/b/../c'", "has . or .. in it", ""),
        ("'./a:/'", "would hide the guest's own system", ""),
        ("'./a:/etc/'", "would hide the guest's own system", ""),
        ('"./a:/b\\n"', "no line breaks", ""),
        ("'~me/a:/b'", "~me is not expanded", "only ~/ is"),
        ("'${NOT_SET_AT_ALL}:/b'", "NOT_SET_AT_ALL is not set", "export"),
        ("{source: ./a}", "'target' is missing in vms.a.mounts[1]", "absolute"),
        ("{source: ./a, target: /b, ro: true}", "unknown key 'ro'", ""),
        ("{source: ./a, target: /b, transport: nfs}", "must be one of auto, virtiofs, 9p, sshfs", ""),
        ("'./b:/x/'", "/x appears twice", "first at"),
    ],
)
def test_mistakes_have_their_place(tmp_path: Path, item: str, message: str, hint: str) -> None:
    found = errors_of(tmp_path, f"vms:\n  a:\n    source: {CLOUD}\n    mounts:\n    - ./ok:/x\n    - {item}\n")
    (error,) = found
    assert message in error.message and hint in (error.hint or "")
    assert place(error)[:2] == ("vms.yml", 6)


def test_a_mount_of_the_command_line(tmp_path: Path) -> None:
    assert mount_of("src:/src:ro", tmp_path) == Mount(tmp_path / "src", "/src", read_only=True)
    with pytest.raises(InputError, match="not absolute"):
        mount_of("src:src", tmp_path)


def test_a_line_that_means_the_same_anywhere(tmp_path: Path) -> None:
    for mount in (Mount(Path("/a b: c\\"), "/x:y", read_only=True), Mount(Path("/a"), "/b")):
        assert mount_of(line_of(mount), tmp_path) == mount
