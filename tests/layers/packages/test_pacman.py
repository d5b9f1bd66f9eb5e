"""pacman, for real: a repository of a layer, groups, packages that two layers want, and undo."""

from __future__ import annotations

import pytest

from ovtasks.layers.events import What
from ovtasks.layers.facts import SystemFacts
from ovtasks.layers.script import apply_script
from tests.layers.packages.roots import TOKEN, Root, layer, make_root
from tests.support.archives import pac_repository

pytestmark = [pytest.mark.root, pytest.mark.slow]
FACTS = SystemFacts("arch")
REPOSITORY = {"name": "test", "server": "file:///srv/test", "siglevel": "Never"}
SOURCE = layer("source", "arch", repos=[REPOSITORY])
PACKAGES = {
    "base": {},
    "lib": {"PROVIDES": "cap"},
    "app": {"DEPENDS": "cap"},
    "tool": {"DEPENDS": "lib"},
    "one": {"GROUPS": "several"},
    "two": {"GROUPS": "several"},
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Root:
    root = make_root(tmp_path_factory.mktemp("pacman"), FACTS)
    for name in ("var/lib/pacman", "var/cache/pacman/pkg", "etc/pacman.d"):
        (root.path / name).mkdir(parents=True)
    pac_repository(root.path / "srv/test", "test", PACKAGES)
    pac_repository(root.path / "srv/core", "core", {"base": {}})
    core = "[core]\nSigLevel = Never\nServer = file:///srv/core\n"
    (root.path / "etc/pacman.conf").write_text(f"[options]\nArchitecture = auto\n{core}")
    root.sh("pacman -Sy --noconfirm base")
    return root


def snapshot(root: Root) -> str:
    """Packages, marks, files."""
    return root.sh("pacman -Q; pacman -Qd; cat /etc/pacman.conf; find /opt /etc/pacman.d /var/lib/pacman/sync | sort")


def names(root: Root) -> list[str]:
    """What is installed."""
    return sorted(root.sh("pacman -Qq 2>/dev/null").split())


def test_packages(root: Root) -> None:
    before = snapshot(root)
    told = root.apply(SOURCE, layer("a", packages=["app", "base", "several"]), layer("b", packages=["lib"]))
    assert "new lists of packages are needed" in told.output
    assert names(root) == ["app", "base", "lib", "one", "two"] and root.sh("pacman -Qdq", status=None) == ""
    again = root.apply(SOURCE, layer("a", packages=["app", "base", "several"]))
    assert again.whats.count(What.SAME) == 2 and What.DOING not in again.whats
    told = root.apply(layer("c", packages=["tool"]))
    assert "new lists of packages" not in told.output
    root.undo("a")
    assert names(root) == ["base", "lib", "tool"]
    root.undo("b")
    assert names(root) == ["base", "lib", "tool"] and root.sh("pacman -Qdq") == "lib\n"
    told = root.apply(layer("d", packages=["nosuch"]), good=False)
    assert "error: target not found: nosuch" in told.output
    root.undo("d", "c", "source")
    assert snapshot(root) == before


def test_shared_repository(root: Root) -> None:
    before = snapshot(root)
    root.apply(
        SOURCE, layer("shared", "arch", repos=[REPOSITORY]), layer("third", "arch", repos=[{**REPOSITORY, "name": "x"}])
    )
    assert root.sh("cat /etc/pacman.conf").count("Include = /etc/pacman.d/ovtasks/*.conf") == 1
    root.undo("source")
    assert "[test]" in (root.path / "etc/pacman.d/ovtasks/test.conf").read_text()
    root.undo("shared")
    assert "Include = /etc/pacman.d/ovtasks/*.conf" in root.sh("cat /etc/pacman.conf")
    root.undo("third")
    assert snapshot(root) == before


def test_lock(root: Root) -> None:
    """One that nobody holds is a killed pacman's; one that somebody holds is waited for."""
    before = snapshot(root)
    base = layer("a", packages=["base"])
    (root.path / "var/lib/pacman/db.lck").touch()
    assert "/var/lib/pacman/db.lck is a killed pacman's: removed" in root.apply(base).output
    root.undo("a")
    (root.path / "root/script").write_bytes(apply_script([root.plan(base)], TOKEN))
    hold = "sleep 30 3>/var/lib/pacman/db.lck & until [ -e /var/lib/pacman/db.lck ]; do :; done"
    said = root.sh(f"{hold}\nexport OV_LOCK_SECONDS=1\nsh /root/script", status=1)
    assert "waiting for process" in said and "gave up" in said
    (root.path / "var/lib/pacman/db.lck").unlink()
    root.undo("a")
    assert snapshot(root) == before
