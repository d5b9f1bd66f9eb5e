"""apk, and what dnf asks servers for: by the exact commands, with stand-ins that keep account of what they are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovtasks.layers.events import What
from ovtasks.layers.facts import SystemFacts
from tests.layers.packages import stand_in
from tests.layers.packages.roots import Root, layer, make_root

pytestmark = [pytest.mark.root, pytest.mark.slow]


def stand_ins(folder: Path, facts: SystemFacts, *names: str) -> Root:
    """A root with stand-ins of these names."""
    root = make_root(folder, facts)
    (root.path / "opt/bin").mkdir()
    (root.path / "opt/stand_in.py").write_bytes(Path(stand_in.__file__).read_bytes())
    for name in names:
        (root.path / f"opt/bin/{name}").write_text(f'#!/bin/sh\nexec /usr/bin/python3 /opt/stand_in.py {name} "$@"\n')
        (root.path / f"opt/bin/{name}").chmod(0o755)
    return root


def log(root: Root, *, asked: bool = False) -> list[str]:
    """The commands since the last time; those that only ask are left out unless ``asked``."""
    path = root.path / "srv/log"
    lines = path.read_text().splitlines()
    path.write_text("")
    looks = ("apk info", "rpm -q", "dnf -q module list", "dnf -q --disablerepo", "dnf --version")
    return [line for line in lines if asked or not line.startswith(looks)]


def test_apk(tmp_path: Path) -> None:
    root = stand_ins(tmp_path, SystemFacts("alpine", "3.21.2"), "apk")
    for name in ("sh", "awk", "cat", "cp", "cut", "date", "grep", "mv", "rm", "sed", "sort", "stat", "tail", "tr"):
        (root.path / "opt/bin" / name).symlink_to("/usr/bin/busybox")  # as it is there
    (root.path / "etc/apk/keys").mkdir(parents=True)
    world, repositories = root.path / "etc/apk/world", root.path / "etc/apk/repositories"
    world.write_text("base\n")
    repositories.write_text("https://example.org/v3.21/main\n")
    app, lib = layer("a", packages=["app", "base"]), layer("b", packages=["lib"])
    root.apply(app, lib)
    assert log(root) == [
        "apk --quiet add --simulate app",
        "apk --no-progress --wait 300 add app",
        "apk --no-progress --wait 300 add lib",  # there for app's sake, and asked for from now on
    ]
    assert world.read_text() == "app\nbase\nlib\n"
    assert What.DOING not in root.apply(app, lib).whats
    root.undo("a")
    assert log(root) == ["apk --no-progress --wait 300 del app"] and world.read_text() == "base\nlib\n"
    root.undo("b")
    assert world.read_text() == "base\n"
    told = root.apply(layer("c", packages=["nosuch"]), good=False)
    assert "nosuch (no such package)" in told.output and "apk --no-progress --wait 300 update" in log(root)
    root.undo("c")

    (root.shelf.folder / "test.rsa.pub").write_text("key")
    repo = {"url": "https://example.org/extra", "key": "https://example.org/test.rsa.pub"}
    root.apply(layer("r", "alpine", repos=[repo]), layer("s", "alpine", repos=[repo]))
    assert repositories.read_text().splitlines()[1:] == ["https://example.org/extra"]
    root.undo("r")
    assert "extra" in repositories.read_text() and (root.path / "etc/apk/keys/test.rsa.pub").read_text() == "key"
    root.undo("s")
    assert repositories.read_text() == "https://example.org/v3.21/main\n" and not list(
        (root.path / "etc/apk/keys").iterdir()
    )
    told = root.apply(layer("r", "alpine", repos=[{**repo, "url": "https://example.org/none"}]), good=False)
    assert "the repository https://example.org/none cannot be used" in told.output
    assert repositories.read_text() == "https://example.org/v3.21/main\n" and not list(
        (root.path / "etc/apk/keys").iterdir()
    )


def test_copr_and_modules(tmp_path: Path) -> None:
    root = stand_ins(tmp_path, SystemFacts("fedora", "43"), "dnf", "rpm")
    (root.path / "etc/yum.repos.d").mkdir()
    modules, copr = root.path / "srv/modules", root.path / str(stand_in.COPR)[1:]
    modules.write_text("valkey:8")
    both = layer("a", "fedora", copr=["owner/project"], modules=["valkey:remi-9.0"])
    told = root.apply(both)
    assert told.whats.count(What.DONE) == 3 and copr.exists() and modules.read_text() == "valkey:remi-9.0"
    assert log(root) == [
        "dnf -y copr enable owner/project",
        "dnf -y module reset valkey",
        "dnf -y module enable valkey:remi-9.0",
    ]
    assert root.apply(both).whats.count(What.SAME) == 3
    root.apply(layer("b", "fedora", copr=["owner/project"]))
    log(root)
    root.undo("a")
    assert log(root) == ["dnf -y module reset valkey", "dnf -y module enable valkey:8"]
    assert copr.exists() and modules.read_text() == "valkey:8"
    root.undo("b")
    assert not copr.exists()
