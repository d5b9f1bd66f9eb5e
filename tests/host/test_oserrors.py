"""What the operating system refuses: which folder is full, and of what."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from ovtasks.errors import OvError
from ovtasks.host.files import write_atomic
from ovtasks.host.oserrors import NoRoomError, explained, explaining, no_room_said
from ovtasks.host.run import CommandError, run
from tests.support.programs import mount, umount


@contextlib.contextmanager
def small(folder: Path, options: str) -> Iterator[Path]:
    folder.mkdir()
    mount("-t", "tmpfs", "-o", options, "tmpfs", folder)
    try:
        yield folder
    finally:
        umount(folder)


def failed(what: str, *folders: Path, write: Path, data: bytes = bytes(1 << 20)) -> NoRoomError:
    with pytest.raises(NoRoomError) as caught, explaining(what, *folders):
        write_atomic(write, data)
    return caught.value


@pytest.mark.root
def test_the_full_folder_of_several_is_named(tmp_path: Path) -> None:
    with small(tmp_path / "full", "size=64k") as full:
        for folders in ((full, tmp_path), (tmp_path, full), (tmp_path, full / "not/there/yet")):
            error = failed("cannot copy it", *folders, write=full / "x")
            named = next(str(one) for one in folders if one != tmp_path)
            assert error.message == f"cannot copy it: the disk is full ({named})"
            assert f"df -h {named}" in str(error.hint) and "ov gc" in str(error.hint)


@pytest.mark.root
def test_room_for_bytes_but_for_no_file(tmp_path: Path) -> None:
    with small(tmp_path / "full", "size=8m,nr_inodes=3") as full:
        for number in range(2):
            (full / str(number)).touch()
        error = failed("cannot write", tmp_path, full, write=full / "x", data=b"")
        assert error.message == f"cannot write: the file system of {full} has no room for another file (no inodes)"
        assert f"df -i {full}" in str(error.hint)


@pytest.mark.root
def test_a_program_that_finds_no_room(tmp_path: Path) -> None:
    with small(tmp_path / "full", "size=256k") as full:
        with pytest.raises(NoRoomError, match=rf"the disk is full \({full}\)"), explaining("cannot", tmp_path, full):
            run(["qemu-img", "convert", "-O", "raw", "-S", "0", "/usr/bin/env", full / "x"])
            run(["qemu-img", "create", "-q", "-f", "qcow2", "-o", "preallocation=full", full / "y", "8M"])
        with pytest.raises(CommandError), explaining("cannot", full):
            run(["qemu-img", "info", tmp_path / "none"])


def test_a_limit_of_the_process(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        error = failed("cannot write", tmp_path, write=tmp_path / "x")
        with pytest.raises(NoRoomError, match="4096 bytes"), explaining("cannot", tmp_path):
            run(["dd", "if=/dev/zero", f"of={tmp_path / 'y'}", "bs=1M", "count=1"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert error.message == f"cannot write: the file would become larger than is allowed: 4096 bytes ({tmp_path})"
    assert "ulimit -f" in str(error.hint)


@pytest.mark.parametrize(
    ("status", "said", "number"),
    [
        (1, "qemu-img: error while writing at byte 0: No space left on device", errno.ENOSPC),
        (1, "cp: error writing 'x': Disk quota exceeded", errno.EDQUOT),
        (1, "write: File too large", errno.EFBIG),
        (-signal.SIGXFSZ, "", errno.EFBIG),
        (1, "No such file", None),
        (-signal.SIGKILL, "", None),
    ],
)
def test_what_programs_say(status: int, said: str, number: int | None) -> None:
    found = no_room_said(CommandError(["x"], status, said))
    assert (found.errno if found else None) == number


REFUSED = [
    (errno.EDQUOT, "your disk quota is used up", "quota -s"),
    (errno.EACCES, "permission denied", "ls -ld"),
    (errno.EROFS, "the file system is read-only", "writable"),
    (errno.EIO, "the disk reports an error", "dmesg"),
    (errno.EMFILE, "too many files are open", "ulimit -n"),
    (errno.ENOTDIR, "a file is where a directory should be", "move it away"),
]


@pytest.mark.parametrize(("number", "reason", "hint"), REFUSED, ids=[errno.errorcode[r[0]] for r in REFUSED])
def test_other_refusals(number: int, reason: str, hint: str, tmp_path: Path) -> None:
    error = explained(OSError(number, os.strerror(number), str(tmp_path / "f")), "cannot make it", tmp_path)
    assert error.message.startswith(f"cannot make it: {reason}") and str(tmp_path) in error.message
    assert hint in str(error.hint)
    assert isinstance(error, OvError)


def test_the_variable_that_moves_the_folder_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable, place in (("XDG_DATA_HOME", "ov/vm/ov-a"), ("XDG_CACHE_HOME", "ov/images")):
        monkeypatch.setenv(variable, str(tmp_path / variable))
        error = explained(OSError(errno.ENOSPC, "x"), "cannot", tmp_path / variable / place)
        assert variable in str(error.hint)


def test_two_names_only_one_matters() -> None:
    found = explained(OSError(errno.EXDEV, "", "/a", None, "/b"), "move the disk")
    assert found.message == "move the disk: invalid cross-device link: /a"


def test_without_permission_the_owner_is_named(tmp_path: Path) -> None:
    found = explained(PermissionError(errno.EACCES, "", "/proc/1/nothing/here"), "")
    assert found.message == "permission denied: /proc/1/nothing/here"
    mine = tmp_path / "mine"
    mine.write_text("", encoding="utf-8")
    mine.chmod(0o400)
    hint = explained(PermissionError(errno.EACCES, "", str(mine)), "").hint
    assert hint == f"{mine} is yours and read-only: chmod u+w {mine}"


def test_a_folder_of_root_is_named_with_its_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    hint = explained(PermissionError(errno.EACCES, "", "/etc/new/file"), "").hint or ""
    assert hint.startswith("/etc belongs to root: as that user, or chown -R ") and hint.endswith(" /etc")


def test_text_that_a_locale_cannot_hold() -> None:
    with pytest.raises(UnicodeEncodeError) as caught:
        "→".encode("latin-1")
    found = explained(caught.value, "")
    assert found.message == r"'\u2192' cannot be written in this locale (latin-1)"
    assert "LC_ALL=C.UTF-8" in (found.hint or "")
    with pytest.raises(UnicodeDecodeError) as broken:
        b"\xff".decode()
    assert explained(broken.value, "x").message == "x: what was read is not utf-8: invalid start byte"


def test_nesting_and_errors_without_a_number() -> None:
    assert "nested too deeply" in explained(RecursionError(), "x").message
    assert explained(TimeoutError(), "x").message == "x: TimeoutError"
