"""All files of a migration are written, or none: killed at every moment, links, files that may not be written."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from ovtasks.errors import OvError, RefusedError
from ovtasks.migrate.commit import finish, refuse_unfinished, write_all
from ovtasks.project.load import check
from ovtasks.project.places import MIGRATING

OLD = {"overthink.yml": b"include: a.yml\n", "vms.yml": b"vms: {}\n", "sub/deploy.yml": b"deploy: {}\n"}
NEW = {"overthink.yml": b"includes: a.yml\n", "vms.yml": b"vms: {b: {}}\n", "new.yml": b"x: 1\n"}
MOMENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate"}


def project(folder: Path) -> Path:
    for name, data in OLD.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def paths(folder: Path, files: Mapping[str, bytes]) -> dict[Path, bytes]:
    return {folder / name: data for name, data in files.items()}


def now(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in sorted(OLD | NEW) if (folder / name).exists()}


def killed_at(moment: int, folder: Path) -> bool:
    """Write all in a process of its own that is killed at its n-th change of a file; False: it got through."""
    pid = os.fork()
    if pid == 0:
        left = moment

        def hook(event: str, args: tuple[object, ...]) -> None:
            nonlocal left
            if event in MOMENTS:
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        try:
            write_all(folder, paths(folder, NEW), paths(folder, OLD))
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


def test_killed_at_every_moment(tmp_path: Path) -> None:
    moment, outcomes = 0, []
    while True:
        moment += 1
        folder = project(tmp_path / str(moment))
        struck = killed_at(moment, folder)
        mixed = now(folder) not in (OLD, {**OLD, **NEW})
        if (folder / MIGRATING / "journal.json").exists():
            assert [one.hint for one in check((), folder).errors] == ["`ov migrate` finishes it"]
            with pytest.raises(RefusedError):
                refuse_unfinished(folder)
        else:
            assert not mixed
        backup = finish(folder)
        after = now(folder)
        assert after in (OLD, {**OLD, **NEW}) and not (folder / MIGRATING).exists()
        if backup is not None:
            assert after == {**OLD, **NEW}
            assert {name: (backup / name).read_bytes() for name in ("overthink.yml", "vms.yml")} == {
                name: OLD[name] for name in ("overthink.yml", "vms.yml")
            }
        assert not [path for path in folder.rglob(".*.part") if path.is_file()]
        outcomes.append(mixed)
        if not struck:
            break
    assert moment > 20 and any(outcomes)  # the kill did fall between two files


def test_links_and_modes_stay(tmp_path: Path) -> None:
    folder = project(tmp_path / "p")
    (folder / "vms.yml").rename(tmp_path / "real.yml")
    (folder / "vms.yml").symlink_to("../real.yml")
    (tmp_path / "real.yml").chmod(0o640)
    backup = write_all(folder, paths(folder, NEW), paths(folder, OLD))
    assert (folder / "vms.yml").is_symlink() and (tmp_path / "real.yml").read_bytes() == NEW["vms.yml"]
    assert (tmp_path / "real.yml").stat().st_mode & 0o777 == 0o640
    assert (backup / "vms.yml").read_bytes() == OLD["vms.yml"]


def test_an_older_backup_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.strftime", lambda _: "20260101-000000")
    folder = project(tmp_path)
    first = write_all(folder, paths(folder, NEW), paths(folder, OLD))
    second = write_all(folder, {folder / "vms.yml": b"vms:\n"}, paths(folder, NEW))
    assert first.name == "ov-backup-20260101-000000" and second.name == f"{first.name}-2"
    assert (first / "vms.yml").read_bytes() == OLD["vms.yml"] and (second / "vms.yml").read_bytes() == NEW["vms.yml"]


def test_a_file_that_may_not_be_written_stops_all(tmp_path: Path) -> None:
    folder = project(tmp_path)
    (folder / "vms.yml").chmod(0o444)
    with pytest.raises(RefusedError, match="read-only"):
        write_all(folder, paths(folder, NEW), paths(folder, OLD))
    assert now(folder) == OLD and not (folder / MIGRATING).exists()


def test_edited_meanwhile(tmp_path: Path) -> None:
    folder = project(tmp_path)
    (folder / "vms.yml").write_bytes(b"vms: {mine: {}}\n")
    with pytest.raises(OvError, match="edited meanwhile"):
        write_all(folder, paths(folder, NEW), paths(folder, OLD))
    assert now(folder) == {**OLD, "vms.yml": b"vms: {mine: {}}\n"}
