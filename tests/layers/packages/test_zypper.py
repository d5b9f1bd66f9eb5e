"""zypper, for real: a signed repository, packages that two layers want, and undo."""

from __future__ import annotations

import pytest

from ovtasks.layers.events import What
from ovtasks.layers.facts import SystemFacts
from ovtasks.layers.script import apply_script
from tests.layers.packages.roots import TOKEN, Root, layer, make_root
from tests.support.archives import make_key, rpm, rpm_repository

pytestmark = [pytest.mark.root, pytest.mark.slow]
FACTS = SystemFacts("opensuse-tumbleweed", "20260101", like=("opensuse", "suse"))
REPOSITORY = {"name": "test", "url": "dir:///srv/repo", "key": "https://example.org/key.asc"}
SOURCE = layer("source", "opensuse", repos=[REPOSITORY])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Root:
    folder = tmp_path_factory.mktemp("zypper")
    root = make_root(folder, FACTS)
    for name in ("etc/rpm", "etc/zypp/repos.d", "etc/pki", "var/lib/rpm", "var/lib/zypp", "var/cache/zypp"):
        (root.path / name).mkdir(parents=True)
    (root.path / "etc/rpm/macros").write_text("%_dbpath /var/lib/rpm\n")
    base = rpm(folder, "base")
    rpms = [base, rpm(folder, "lib", provides="cap(lib)"), rpm(folder, "app", requires="cap(lib)")]
    key, other = make_key(folder, "key"), make_key(folder, "other")
    rpm_repository(root.path / "srv/repo", rpms, key)
    (root.path / "srv/base.rpm").write_bytes(base.read_bytes())
    (root.shelf.folder / "key.asc").write_bytes(key.public)
    (root.shelf.folder / "other.asc").write_bytes(other.public)
    (root.path / "var/lib/zypp/AutoInstalled").touch()
    root.sh("rpm -i /srv/base.rpm")
    return root


def snapshot(root: Root) -> str:
    """Packages, marks, files."""
    return root.sh(
        "rpm -qa 2>/dev/null | sort; grep -v '^#' /var/lib/zypp/AutoInstalled\n"
        "find /etc/zypp/repos.d /etc/pki /opt /var/cache/zypp -name '*test*' -o -path '/opt/*'"
    )


def names(root: Root) -> list[str]:
    """What is installed, keys left out."""
    return sorted(root.sh("rpm -qa --qf '%{NAME}\\n' 2>/dev/null | grep -v gpg-pubkey").split())


def test_repository(root: Root) -> None:
    before = snapshot(root)
    assert root.apply(SOURCE).whats[1:] == [What.DOING, What.DONE, What.WHOLE]
    assert (
        (root.path / "etc/zypp/repos.d/test.repo")
        .read_text()
        .startswith("[test]\nname=test\nbaseurl=dir:///srv/repo\n")
    )
    assert root.apply(SOURCE).whats[1:] == [What.SAME, What.WHOLE]
    root.undo("source")
    assert snapshot(root) == before
    bad = layer("bad", "opensuse", repos=[{**REPOSITORY, "key": "https://example.org/other.asc"}])
    told = root.apply(bad, good=False)
    assert "the repository test cannot be used" in told.output and "ignature" in told.output
    root.undo("bad")
    assert snapshot(root) == before


def test_packages(root: Root) -> None:
    before = snapshot(root)
    root.apply(SOURCE, layer("a", packages=["app", "base"]), layer("b", packages=["cap(lib)"]))
    assert names(root) == ["app", "base", "lib"]
    assert root.apply(layer("a", packages=["app", "base"])).whats[1:] == [What.SAME, What.WHOLE]
    told = root.apply(layer("c", packages=["nosuch"]), good=False)
    assert "No provider of 'nosuch' found" in told.output
    root.undo("c", "a")
    assert names(root) == ["base", "lib"]
    root.undo("b", "source")
    assert snapshot(root) == before


def test_lock(root: Root) -> None:
    """Another zypper, and whoever else works with rpm's database, are waited for."""
    (root.path / "root/script").write_bytes(apply_script([root.plan(layer("a", packages=["base"]))], TOKEN))
    take = "f = open('/var/lib/rpm/.rpm.lock', 'w'); fcntl.lockf(f, fcntl.LOCK_EX)"
    lock = f"import fcntl, time; {take}; open('/run/held', 'w')"
    for hold, file in (
        ("sleep 30 & echo $! >/run/zypp.pid", "/run/zypp.pid"),
        (f'python3 -c "{lock}; time.sleep(30)" & until [ -e /run/held ]; do :; done', "/var/lib/rpm/.rpm.lock"),
    ):
        said = root.sh(f"{hold}\nexport OV_LOCK_SECONDS=0\nsh /root/script", status=1)
        assert "waiting for process" in said and f"which holds {file}" in said and "gave up" in said
    root.undo("a")
