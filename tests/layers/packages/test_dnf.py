"""dnf, for real: RPM packages from a signed repository, groups of layers that share them, and undo."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ovtasks.layers.events import What
from ovtasks.layers.facts import SystemFacts
from ovtasks.values.jsonvalue import Json
from tests.layers.packages.roots import Root, layer, make_root
from tests.support.archives import make_key, rpm, rpm_repository

pytestmark = [pytest.mark.root, pytest.mark.slow]
FACTS = SystemFacts("fedora", "43")
REPOSITORY: dict[str, Json] = {
    "name": "test",
    "url": "file:///srv/repo",
    "key": "https://example.org/key.asc",
    "gpgcheck": False,
}
SOURCE = layer("source", "fedora", repos=[REPOSITORY])


def names(root: Root) -> list[str]:
    """What is installed, keys left out."""
    return sorted(root.sh("rpm -qa --qf '%{NAME}\\n' 2>/dev/null | grep -v gpg-pubkey").split())


def snapshot(root: Root) -> tuple[str, ...]:
    """Packages, marks, and files."""
    return root.answers(
        "rpm -qa 2>/dev/null | sort",
        "dnf -q --disablerepo='*' repoquery --userinstalled 2>/dev/null | sort",
        "find /etc/yum.repos.d /etc/pki /opt | sort; ls /var/cache/dnf | grep '^test-' | sort || :",
    )


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Root:
    folder = tmp_path_factory.mktemp("dnf")
    root = make_root(folder, FACTS)
    for name in ("etc/rpm", "etc/yum.repos.d", "etc/dnf", "etc/pki", "var/lib/rpm", "var/cache/dnf"):
        (root.path / name).mkdir(parents=True)
    (root.path / "etc/rpm/macros").write_text("%_dbpath /var/lib/rpm\n")
    (root.path / "etc/dnf/dnf.conf").write_text("[main]\nrepo_gpgcheck=1\ngpgcheck=1\nreleasever=43\n")
    base = rpm(folder, "base")
    rpms = [
        base,
        rpm(folder, "lib", provides="cap(lib)"),
        rpm(folder, "app", requires="cap(lib)"),
        rpm(folder, "tool", requires="lib >= 1"),
        rpm(folder, "clash", conflicts="base"),
        rpm(folder, "base", "2"),
        rpm(folder, "new-app", requires="base >= 2"),
        rpm(folder, "kernel-extra", "6.1"),
    ]
    key, other = make_key(folder, "key"), make_key(folder, "other")
    rpm_repository(root.path / "srv/repo", rpms, key, {"several": ["app", "tool"]})
    (root.path / "srv/base.rpm").write_bytes(base.read_bytes())
    (root.shelf.folder / "key.asc").write_bytes(key.public)
    (root.shelf.folder / "other.asc").write_bytes(other.public)
    root.sh("rpm -i /srv/base.rpm; dnf -q mark install base")
    return root


@pytest.fixture
def root(plain: Root) -> Iterator[Root]:
    """The root with the repository as a layer; afterwards it must be as it was."""
    before = snapshot(plain)
    plain.apply(SOURCE)
    yield plain
    plain.undo("source")
    assert snapshot(plain) == before


def test_repository(plain: Root) -> None:
    root, before = plain, snapshot(plain)
    told = root.apply(SOURCE)
    assert told.whats[1:] == [What.DOING, What.DONE, What.WHOLE]
    assert (root.path / "etc/yum.repos.d/test.repo").read_text() == (
        "[test]\nname=test\nbaseurl=file:///srv/repo\nenabled=1\nautorefresh=1\ngpgcheck=0\n"
        "gpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-test\n"
    )
    assert "gpg-pubkey" in root.sh("rpm -qa")
    assert root.apply(SOURCE).whats[1:] == [What.SAME, What.WHOLE]
    root.apply(layer("shared", "fedora", repos=[REPOSITORY]))
    root.undo("source")
    assert "lib" in root.sh("dnf -q list --available 2>&1") and "gpg-pubkey" in root.sh("rpm -qa")
    root.undo("shared")
    assert snapshot(root) == before
    for change, message in (
        ({"url": "file:///srv/none"}, "/srv/none"),
        ({"key": "https://example.org/other.asc"}, "repomd.xml GPG signature verification error"),
    ):
        told = root.apply(layer("bad", "fedora", repos=[{**REPOSITORY, **change}]), good=False)
        assert told.status and message in told.output and "the repository test cannot be used" in told.output
        root.undo("bad")
    assert snapshot(root) == before


def test_packages(root: Root) -> None:
    before = snapshot(root)
    app = layer("a", packages=["app", "cap(lib)", "base", "kernel-extra"])
    told = root.apply(app)
    assert told.whats[1:] == [What.DOING, What.DONE, What.WHOLE] and "Installing" in told.output
    assert names(root) == ["app", "base", "kernel-extra", "lib"]
    assert "Installing" not in root.apply(layer("b", packages=["app"])).output
    assert root.apply(app).whats[1:] == [What.SAME, What.WHOLE]
    root.sh("rpm -e app")
    assert root.look("a").whats[-1] is What.DIFFERS
    assert What.DONE in root.apply(app).whats
    root.undo("a")
    assert names(root) == ["app", "base", "lib"]
    root.undo("b")
    assert snapshot(root) == before


def test_group(root: Root) -> None:
    before = snapshot(root)
    group = layer("a", packages=["@several"])
    root.apply(group)
    assert names(root) == ["app", "base", "lib", "tool"] and "several" in root.sh("dnf -q group list --installed")
    assert root.apply(group).whats[1:] == [What.SAME, What.WHOLE]
    root.undo("a")
    assert snapshot(root) == before and "several" not in root.sh("dnf -q group list --installed")


def test_what_others_need_stays(root: Root) -> None:
    before = snapshot(root)
    root.apply(layer("a", packages=["app"]), layer("b", packages=["lib"]))
    root.sh("dnf -y install tool")
    root.undo("a", "b")
    assert names(root) == ["base", "lib", "tool"]
    assert "lib" not in root.sh("dnf -q --disablerepo='*' repoquery --userinstalled")
    root.sh("dnf -y remove tool")
    assert snapshot(root) == before
    told = root.apply(layer("a", packages=["nosuch"]), good=False)
    assert "No match for argument: nosuch" in told.output
    told = root.apply(layer("a", packages=["clash"]), good=False)
    assert "conflicts with base" in told.output and names(root) == ["base"]
    root.apply(layer("a", packages=["clash"], options=["--allowerasing"]))
    assert names(root) == ["clash"]
    root.undo("a")
    assert snapshot(root) == before
    root.apply(layer("a", packages=["new-app"]))
    assert "base-2" in root.sh("rpm -qa")
    root.undo("a")
    assert snapshot(root) == before


def test_package_that_brings_a_repository(plain: Root) -> None:
    """Its name is asked of the package, its URL has what the author lets a shell fill in."""
    root, before = plain, snapshot(plain)
    made = rpm(root.shelf.folder, "test-release")
    made.rename(root.shelf.folder / "test-release-43.rpm")
    url = "https://example.org/test-release-$(rpm -E %fedora).rpm"
    told = root.apply(layer("a", "fedora", repos=[{"name": "x", "rpm": url}]))
    assert told.events[1].operation == "add the repositories of test-release-43.rpm"
    assert names(root) == ["base", "test-release"]
    root.undo("a")
    assert snapshot(root) == before
