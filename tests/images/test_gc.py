"""``ov gc``: what nobody holds goes, what somebody holds is named with its holder."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest

from ovtasks.host.paths import image_store
from ovtasks.images import gc
from ovtasks.images.store import Store
from tests.images.conftest import ask, obtain
from tests.images.notes import Notes
from tests.support.processes import talk
from tests.support.programs import qemu_img
from tests.support.server import Site
from tests.support.workbench import Workbench, cloud_vm, make_image

pytestmark = pytest.mark.slow  # many runs of whole programs


def old(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that the builds of this test were long ago."""
    monkeypatch.setattr(gc, "RECENT_SECONDS", -1.0)


def test_held_and_free_content(
    site: Site, store: Store, notes: Notes, sha256: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    obtain(ask(site, store), notes)
    (item,) = gc.survey(store)
    assert item.held_by == ("a build of the last minutes",)
    old(store, monkeypatch)
    store.link(sha256, tmp_path / "vm" / "base.qcow2")
    os.link(tmp_path / "vm" / "base.qcow2", tmp_path / "unknown")
    (item,) = gc.survey(store)
    assert item.held_by == (str(tmp_path / "vm" / "base.qcow2"), "1 other hard link")
    assert gc.remove(store, [item]) == []
    (tmp_path / "vm" / "base.qcow2").unlink()
    (tmp_path / "unknown").unlink()
    (item,) = gc.survey(store)
    assert item.removable and gc.remove(store, [item]) == [item]
    assert store.entries() == []
    assert obtain(ask(site, store), notes).sha256 == sha256, "it comes back when it is needed"


def test_link_made_between_survey_and_removal_wins(
    site: Site, store: Store, notes: Notes, sha256: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    obtain(ask(site, store), notes)
    old(store, monkeypatch)
    items = gc.survey(store)
    store.link(sha256, tmp_path / "base.qcow2")
    assert gc.remove(store, items) == [] and store.has(sha256)


def test_downloads_are_given_up_after_a_week(store: Store) -> None:
    folder = store.root / "incoming"
    folder.mkdir(parents=True)
    young, aged, busy = (folder / f"{name}.part" for name in ("young", "aged", "busy"))
    for path in (young, aged, busy):
        path.write_bytes(b"x")
    for path in (aged, busy):
        os.utime(path, (time.time() - 8 * 86400,) * 2)
    with store.lock("busy"):
        gone = gc.remove(store, gc.survey(store))
    assert [item.path for item in gone] == [aged]


def test_command_in_a_project(bench: Workbench, tmp_path: Path) -> None:
    first, second = tmp_path / "1.qcow2", tmp_path / "2.qcow2"
    make_image(first)
    old_sha = make_image(second, mark=b"second")
    bench.write({"a": cloud_vm(second)})
    bench.ov("vm", "build")
    bench.write({"a": cloud_vm(first)})
    bench.ov("vm", "build")
    (bench.root / "output/a/qcow2/.disk.qcow2.part").write_bytes(b"half")
    (bench.root / "output/gone/qcow2").mkdir(parents=True)
    before = bench.files()
    dry = json.loads(bench.ov("gc", "--dry-run", "--json").stdout)
    assert bench.files() == before
    goes = {Path(item["path"]).name for item in dry["removed"]}
    assert {f"{old_sha}.qcow2", ".disk.qcow2.part"} <= goes
    text = bench.ov("gc").stdout
    assert "rest of a killed run" in text and "freed" in text and f"rm -r {bench.root / 'output/gone'}" in text
    assert not (bench.root / f"output/.images/{old_sha}.qcow2").exists()
    assert (bench.root / "output/gone").exists()
    qemu_img("check", "-q", bench.root / "output/a/qcow2/disk.qcow2")
    assert bench.plan("a")["disk:a"] == "fresh"
    assert "held by " + str(bench.root / "output") in bench.ov("gc").stdout
    assert json.loads(bench.ov("gc", "--json").stdout)["removed"] == []


def test_running_build_is_left_alone(bench: Workbench, tmp_path: Path) -> None:
    image = tmp_path / "1.qcow2"
    make_image(image)
    bench.write({"a": cloud_vm(image)})
    bench.ov("vm", "build")
    part = bench.root / "output/a/qcow2/.disk.qcow2.part"
    part.write_bytes(b"half")
    hold = (
        "import fcntl, sys; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); sys.stdin.read()"
    )
    lock = bench.root / "output/.ov/locks/disk:a"
    with talk(sys.executable, "-c", hold, lock) as holder:
        assert holder.stdout and holder.stdin
        holder.stdout.readline()
        assert "a build that is running in this project" in bench.ov("gc").stdout
        assert part.exists()
        holder.stdin.close()
    bench.ov("gc")
    assert not part.exists()


def test_outside_any_project(tmp_path: Path) -> None:
    assert "0 files" in Workbench(tmp_path).ov("gc").stdout


def age(store: Store) -> None:
    """Make everything in the store look as if it had come an hour ago."""
    for path in store.root.rglob("*"):
        os.utime(path, (time.time() - 3600,) * 2)


def test_one_run_frees_what_only_this_project_held(bench: Workbench, tmp_path: Path) -> None:
    image = tmp_path / "1.qcow2"
    sha = make_image(image)
    bench.write({"a": cloud_vm(image)})
    bench.ov("vm", "build", "--type", "raw")
    other = tmp_path / "2.qcow2"
    make_image(other, mark=b"second")
    bench.write({"a": cloud_vm(other)})
    store = Store(image_store())
    age(store)
    bench.ov("gc")
    assert not store.has(sha), "its last link went in the same run"


def test_pinned_content_stays(bench: Workbench, tmp_path: Path) -> None:
    image = tmp_path / "1.qcow2"
    sha = make_image(image)
    bench.write({"a": cloud_vm(image)})
    bench.ov("lock")
    age(Store(image_store()))
    assert "held by ovtasks.lock" in bench.ov("gc").stdout
    assert Store(image_store()).has(sha)
    (bench.root / "ovtasks.lock").unlink()
    bench.ov("gc")
    assert not Store(image_store()).has(sha)


def test_nothing_goes_while_a_request_is_worked_on(
    site: Site, store: Store, notes: Notes, sha256: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    obtain(ask(site, store), notes)
    old(store, monkeypatch)
    items = gc.survey(store)
    assert [item.removable for item in items] == [True]
    with store.lock("another"):
        assert gc.survey(store)[0].held_by == (gc.RUNNING,)
        assert gc.remove(store, items) == [] and store.has(sha256), "a build that began after the survey"


def test_download_that_went_on_after_the_survey_stays(store: Store) -> None:
    part = store.part("aged")
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x")
    os.utime(part, (time.time() - 8 * 86400,) * 2)
    items = gc.survey(store)
    with store.lock("aged"):
        assert gc.remove(store, items) == [] and part.exists()


def test_outdated_manifests_go(bench: Workbench, tmp_path: Path) -> None:
    image = tmp_path / "1.qcow2"
    make_image(image)
    bench.write({"a": cloud_vm(image)})
    bench.ov("vm", "build")
    bench.ov("vm", "build", "a")
    folder = bench.root / "output/.ov/manifest"
    names = sorted(path.name for path in folder.iterdir())
    assert names and json.loads(bench.ov("gc", "--json").stdout)["removed"] == []
    assert sorted(path.name for path in folder.iterdir()) == names, "they still hold"
    (folder / "mdamaged").write_bytes(b"?")
    bench.write({"a": cloud_vm(image, disk_size="2G")})
    bench.ov("gc")
    assert list(folder.iterdir()) == []
