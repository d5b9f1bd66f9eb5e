"""``ovtasks.lock`` and ``ov lock``: "latest" cannot drift."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ovtasks.cli.lock import differences
from ovtasks.errors import EXIT_INPUT, EXIT_STALE, InputError
from ovtasks.images.lockfile import lock_text, read_lock, write_lock
from ovtasks.images.request import Pin
from tests.images.conftest import NAME
from tests.support.server import Site
from tests.support.workbench import Workbench, ran

pytestmark = pytest.mark.slow  # many runs of whole programs

PINS = {"https://example.org/b": Pin("https://example.org/b1", "b" * 64, 2), "/a": Pin("/a", "a" * 64, 1)}


def test_written_sorted_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "ovtasks.lock"
    assert read_lock(path) == {}
    write_lock(path, PINS)
    assert read_lock(path) == PINS
    assert path.read_text(encoding="utf-8") == lock_text(dict(reversed(PINS.items())))
    assert list(json.loads(path.read_text(encoding="utf-8"))["images"]) == sorted(PINS)


WRONG = [
    ('{"version": 1,\n "images": {]}', "not a lock file", "ovtasks.lock:2:13"),
    ("<<<<<<< HEAD\n{}", "not a lock file", "ovtasks.lock:1:1"),
    ("[]", "is not a lock file of version 1", "ovtasks.lock"),
    ('{"version": 2, "images": {}}', "is not a lock file of version 1", "ovtasks.lock"),
    ('{"version": 1, "images": {}, "more": 1}', "must hold version and images", "ovtasks.lock"),
    ('{"version": 1, "images": {"/a": {"sha256": "x"}}}', "entry of /a must hold", "ovtasks.lock:1:27"),
    ('{"version": 1, "images": {"/a": {"final_url": "/a", "sha256": "x", "size": 1}}}', "sha256 that is none", ""),
    ('{"version": 1, "images": {"/a": {},\n "/a": {}}}', "has /a twice", "ovtasks.lock:2:2"),
    ("[" * 100_000, "nested too deeply", "ovtasks.lock"),
    ("9" * 6000, "holds a number that is too long", "ovtasks.lock"),
    ('{"version": 1, "images": {"/a": {"size": -%s}}}' % ("1" * 5000), "holds a number that is too long", ""),
    (
        '{"version": 1, "images": {"/a": {"final_url": "/a", "sha256": "' + "a" * 64 + '", "size": "1"}}}',
        "wrong size",
        "",
    ),
]


@pytest.mark.parametrize(("text", "message", "place"), WRONG)
def test_wrong_lock_files(tmp_path: Path, text: str, message: str, place: str) -> None:
    path = tmp_path / "ovtasks.lock"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message) as caught:
        read_lock(path)
    assert place in str(caught.value.where) and "ov lock" in (caught.value.hint or "")


def vm(site: Site, name: str = NAME) -> dict[str, Any]:
    source = {"kind": "cloud_image", "url": f"{site.url}/{name}", "checksum": {"type": "none"}}
    return {"source": source, "disk_size": "1G", "ssh": {"key_source": "none"}}


def test_lock_pins_and_builds_stay(bench: Workbench, site: Site, image: bytes, sha256: str, tmp_path: Path) -> None:
    bench.write({"a": vm(site)})
    assert bench.ov("lock", "--check", code=EXIT_STALE).stdout == f"+ {site.url}/{NAME}\n"
    assert bench.ov("vm", "build", "--locked", code=EXIT_INPUT).stderr.count("not pinned") == 1
    assert bench.ov("lock").stdout.startswith(f"+ {site.url}/{NAME}  sha256:{sha256[:12]}")
    lock = bench.root / "ovtasks.lock"
    assert read_lock(lock)[f"{site.url}/{NAME}"] == Pin(f"{site.url}/{NAME}", sha256, len(image))
    before = lock.read_bytes()
    assert "nothing to change" in bench.ov("lock").stderr and lock.read_bytes() == before
    bench.ov("lock", "--check")
    bench.ov("vm", "build", "--locked")

    site.files[f"/{NAME}"] = image + bytes(512)  # "latest" moves on
    shutil.rmtree(bench.root / "output")
    bench.ov("vm", "build", "--refresh")
    assert (bench.root / f"output/.images/{sha256}.qcow2").exists(), "still the pinned bytes"
    shutil.rmtree(bench.root / "output")
    shutil.rmtree(tmp_path / "xdg" / "cache")
    gone = bench.ov("vm", "build", code=1).stderr
    assert "wrong digest" in gone and "ovtasks.lock" in gone and sha256 in gone and "ov lock --update" in gone

    changed = bench.ov("lock", "--update", "a").stdout
    assert changed.startswith("~ ") and f"sha256:{sha256[:12]}… → sha256:" in changed
    assert [name.partition(":")[0] for name in ran(bench.ov("vm", "build").stderr)][:2] == ["fetch", "verify"]
    bench.write({"b": vm(site, "other.qcow2")})
    site.files["/other.qcow2"] = image
    assert bench.ov("lock").stdout.splitlines()[0].startswith("- ")


def test_update_of_an_unknown_vm(bench: Workbench, site: Site) -> None:
    bench.write({"arch": vm(site)})
    error = bench.ov("lock", "--update", "acrh", code=EXIT_INPUT).stderr
    assert "acrh" in error and "arch" in error


def test_broken_lock_file_stops_a_build(bench: Workbench, site: Site) -> None:
    bench.write({"a": vm(site)})
    (bench.root / "ovtasks.lock").write_text("{", encoding="utf-8")
    error = bench.ov("vm", "build", code=EXIT_INPUT).stderr
    assert "ovtasks.lock:1:" in error and "not a lock file" in error


def test_refresh_through_the_command_line(bench: Workbench, site: Site, image: bytes) -> None:
    bench.write({"a": vm(site), "b": vm(site)})
    bench.ov("vm", "build")
    assert "asked to look for a newer image" in bench.ov("plan", "--refresh", "a").stdout
    first = ran(bench.ov("vm", "build", "--refresh", "a").stderr)
    assert [name.partition(":")[0] for name in first] == ["fetch"], "the same bytes: nothing after it runs"
    site.files[f"/{NAME}"] = image + bytes(512)
    assert "nothing to do" in bench.ov("vm", "build").stderr
    verbs = {name.partition(":")[0] for name in ran(bench.ov("vm", "build", "--refresh", "a").stderr)}
    assert verbs == {"fetch", "verify", "disk", "seed"}
    assert ran(bench.ov("vm", "build", "b").stderr) == ["disk:b", "seed:b"]


def test_another_project_keeps_its_image(bench: Workbench, site: Site, image: bytes, tmp_path: Path) -> None:
    bench.write({"a": vm(site)})
    bench.ov("vm", "build")
    other = Workbench(tmp_path / "other")
    other.root.mkdir()
    other.write({"a": vm(site)})
    site.files[f"/{NAME}"] = image + bytes(512)
    other.ov("vm", "build", "--refresh")
    assert "nothing to do" in bench.ov("vm", "build").stderr
    assert bench.plan("a")["disk:a"] == "fresh"


def test_check_of_one_vm(bench: Workbench, site: Site) -> None:
    site.files["/other.qcow2"] = site.files[f"/{NAME}"]
    bench.write({"a": vm(site), "b": vm(site, "other.qcow2")})
    bench.ov("lock", "a")
    bench.ov("lock", "--check", "a")
    assert bench.ov("lock", "--check", "b", code=EXIT_STALE).stdout == f"+ {site.url}/other.qcow2\n"
    assert "acrh" in bench.ov("lock", "--check", "acrh", code=EXIT_INPUT).stderr
    assert "not allowed with" in bench.ov("lock", "--check", "--update", code=EXIT_INPUT).stderr


def test_differences_show_no_password() -> None:
    secret = {"https://me:word@example.org/b": PINS["https://example.org/b"]}
    assert differences({}, secret) == [f"+ https://example.org/b  sha256:{'b' * 12}…"]
    assert differences(secret, {}) == ["- https://example.org/b"]
