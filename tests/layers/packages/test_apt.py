"""apt and dpkg, for real: packages from a signed repository, and undo to the last line of ``dpkg -l``."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ovtasks.layers.events import What
from ovtasks.layers.facts import SystemFacts
from ovtasks.layers.script import apply_script, image_script
from tests.layers.packages.roots import TOKEN, Root, killed_at, layer, make_root
from tests.support.archives import SigningKey, apt_repository, deb, make_key

pytestmark = [pytest.mark.root, pytest.mark.slow]
FACTS = SystemFacts("debian", "12", codename="bookworm")
URL = "file:///srv/apt"
SLEEP = "touch /tmp/here; [ -e /tmp/quick ] || sleep 60"


@dataclass
class World:
    """A root with a repository that it does not know yet. ``other`` is a key that signed nothing."""

    root: Root
    key: SigningKey
    other: SigningKey
    debs: list[Path]

    def snapshot(self) -> tuple[str, ...]:
        """Packages, marks, and the files of apt and of the packages."""
        return self.root.answers(
            "dpkg -l; dpkg-query -W",
            "apt-mark showauto; apt-mark showmanual",
            "find /etc/apt /etc/*.conf /opt /var/lib/apt/lists -type f -exec sha256sum {} +; ls /etc/apt/*",
        )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("apt")
    root = make_root(folder, FACTS)
    for name in (
        "var/lib/dpkg/info",
        "var/lib/dpkg/updates",
        "etc/apt/sources.list.d",
        "etc/apt/apt.conf.d",
        "etc/apt/preferences.d",
    ):
        (root.path / name).mkdir(parents=True)
    (root.path / "var/lib/dpkg/status").touch()
    (root.path / "etc/apt/apt.conf.d/root").write_text('APT::Sandbox::User "root";\n')
    base = deb(folder, "base")
    debs = [
        base,
        deb(folder, "lib"),
        deb(folder, "app", depends="lib", conffile=True),
        deb(folder, "tool", depends="lib"),
        deb(folder, "mail", provides="mail-agent"),
        deb(folder, "clash", conflicts="base"),
        deb(folder, "new-app", depends="base (>= 2)"),
        deb(folder, "base", "2"),
        deb(folder, "broken", postinst="echo it is broken; exit 3"),
        deb(folder, "slow", depends="lib", postinst=SLEEP),
        deb(folder, "early", depends="lib", preinst=SLEEP),
    ]
    key, other = make_key(folder, "key"), make_key(folder, "other")
    apt_repository(root.path / "srv/apt", debs, key)
    apt_repository(root.path / "srv/one", debs[:1], key)
    (root.path / "srv/base.deb").write_bytes(base.read_bytes())
    root.sh("dpkg -i /srv/base.deb; apt-get update")
    (root.shelf.folder / "key.asc").write_bytes(key.public)
    (root.shelf.folder / "other.asc").write_bytes(other.public)
    return World(root, key, other, debs)


REPOSITORY = {"name": "test", "url": URL, "key": "https://example.org/key.asc", "suite": "stable"}
SOURCE = layer("source", "debian", repos=[REPOSITORY])


@pytest.fixture
def root(world: World) -> Iterator[Root]:
    """The root with the repository as a layer; afterwards it must be as it was."""
    before = world.snapshot()
    world.root.apply(SOURCE)
    try:
        yield world.root
        world.root.undo("source")
        assert world.snapshot() == before
    finally:
        if world.root.sh("ls /var/lib/ovtasks/layers; dpkg-query -W -f '${Package}'") != "base":  # for the others' sake
            world.root.sh(
                "rm -rf /var/lib/ovtasks/layers/* /etc/apt/keyrings /etc/apt/sources.list.d/*\n"
                "dpkg --force-all --purge $(dpkg-query -W -f '${Package}\\n' | grep -vx base)\napt-get update",
                status=None,
            )


def test_repository(world: World) -> None:
    root, before = world.root, world.snapshot()
    told = root.apply(SOURCE)
    assert root.shelf.said[-1].startswith("the key https://example.org/key.asc is not pinned")
    source = (root.path / "etc/apt/sources.list.d/test.sources").read_text()
    assert source == (
        f"Types: deb\nURIs: {URL}\nSuites: stable\nComponents: main\nSigned-By: /etc/apt/keyrings/test.asc\n"
    )
    assert "app/stable 1 all" in root.sh("apt list 2>/dev/null")
    again = root.apply(SOURCE)
    assert (told.whats[1:], again.whats[1:]) == ([What.DOING, What.DONE, What.WHOLE], [What.SAME, What.WHOLE])
    shared = layer(
        "shared", "debian", repos=[{**REPOSITORY, "key_sha256": hashlib.sha256(world.key.public).hexdigest()}]
    )
    root.apply(shared)
    root.undo("source")
    assert "app/stable 1 all" in root.sh("apt list 2>/dev/null")
    root.undo("shared")
    assert world.snapshot() == before


def test_repository_that_cannot_be_used(world: World) -> None:
    root, before = world.root, world.snapshot()
    for change, message in (
        ({"url": "file:///srv/none"}, "/srv/none"),
        ({"key": "https://example.org/other.asc"}, "NO_PUBKEY"),
    ):
        told = root.apply(layer("bad", "debian", repos=[{**REPOSITORY, **change}]), good=False)
        assert told.status and message in told.output and "the repository test cannot be used" in told.output
        assert not (root.path / "etc/apt/sources.list.d/test.sources").exists()
        root.undo("bad")
    assert world.snapshot() == before

    # The same repository is there already, with other options: apt would refuse to do anything.
    ours = root.path / "etc/apt/sources.list.d/ours.list"
    ours.write_text(f"deb [trusted=yes] {URL} stable main\n")
    told = root.apply(SOURCE, good=False)
    assert "Conflicting values set for option" in told.output and ours.exists()
    root.sh("apt-get update")
    root.undo("source")
    ours.unlink()
    root.sh("apt-get update")
    assert world.snapshot() == before


def test_packages(root: Root, world: World) -> None:
    before = world.snapshot()
    app = layer("a", packages=["app", "mail-agent", "base"])
    told = root.apply(app)
    assert told.whats[1:] == [What.DOING, What.DONE, What.WHOLE] and "Unpacking app" in told.output
    assert "Get:" not in root.apply(layer("b", packages=["app"])).output
    assert root.apply(app).whats[1:] == [What.SAME, What.WHOLE]
    assert root.sh("apt-mark showauto").split() == ["lib"]
    assert root.look("a").whats[-1] is What.SO
    root.sh("dpkg --remove app")
    assert root.look("a").whats[-1] is What.DIFFERS
    (root.path / "etc/app.conf").write_text("edited\n")
    assert What.DONE in root.apply(app).whats and (root.path / "etc/app.conf").read_text() == "edited\n"
    root.undo("b", "a")
    assert world.snapshot() == before


def test_shared_packages(root: Root, world: World) -> None:
    """Each order in which two layers that want one package can be undone; what a user installed meanwhile stays."""
    before = world.snapshot()
    app, lib, tool = layer("a", packages=["app"]), layer("b", packages=["lib"]), layer("c", packages=["tool"])
    root.apply(app, lib, tool)
    assert root.sh("apt-mark showauto") == ""
    root.undo("a")
    assert names(root) == ["base", "lib", "tool"]
    root.undo("b")
    assert names(root) == ["base", "lib", "tool"] and root.sh("apt-mark showauto") == "lib\n"
    root.undo("c")
    assert world.snapshot() == before

    root.apply(app, lib, tool)
    root.undo("c", "b")
    assert names(root) == ["app", "base", "lib"] and root.sh("apt-mark showauto") == "lib\n"
    root.undo("a")
    assert world.snapshot() == before

    root.apply(app, lib)
    root.sh("apt-get -y install tool mail")
    root.undo("a", "b")
    assert names(root) == ["base", "lib", "mail", "tool"] and root.sh("apt-mark showauto") == "lib\n"
    root.sh("apt-get -y purge tool mail lib")
    assert world.snapshot() == before


def test_what_was_there_stays(root: Root, world: World) -> None:
    """Packages, marks, settings of a package that had been removed, and a package that is in the way."""
    root.sh("apt-get -y install app; apt-get -y remove app; apt-mark auto base")
    before = world.snapshot()
    assert "rc  app" in before[0]
    root.apply(layer("a", packages=["app", "lib", "base"]))
    assert root.sh("apt-mark showauto") == ""
    root.undo("a")
    assert world.snapshot() == before
    root.sh("dpkg --purge app lib; apt-mark manual base")
    before = world.snapshot()

    told = root.apply(layer("a", packages=["clash"]), good=False)
    assert "Packages need to be removed but remove is disabled" in told.output and names(root) == ["base"]
    root.apply(layer("a", packages=["clash"], options=["--remove"]))
    assert names(root) == ["clash"]
    root.undo("a")
    assert world.snapshot() == before

    root.apply(layer("a", packages=["new-app"]))
    assert "base\t2" in root.sh("dpkg-query -W")
    root.undo("a")
    assert world.snapshot() == before


def names(root: Root) -> list[str]:
    """What is installed."""
    lines = root.sh("dpkg-query -W -f '${Package} ${Status}\\n'").splitlines()
    return sorted(line.split()[0] for line in lines if line.endswith(" installed"))


def test_failures(root: Root, world: World) -> None:
    """apt's own words, and a layer that can be undone all the same."""
    before = world.snapshot()
    told = root.apply(layer("a", "", packages=["nosuch"]), good=False)
    assert "Unable to locate package nosuch" in told.output
    assert "no repository of this system has a package nosuch" in told.output
    several = layer("a", packages=["nosuch"])
    several.sections["fedora"] = several.sections[""]  # type: ignore[index]
    assert "the layer has sections for fedora, and this is debian 12" in root.apply(several, good=False).output
    root.undo("a")
    told = root.apply(layer("a", packages=["broken"]), good=False)
    assert "it is broken" in told.output and told.status
    root.undo("a")
    assert world.snapshot() == before

    (root.path / "srv/apt/pool").rename(root.path / "srv/apt/gone")
    told = root.apply(layer("a", packages=["lib"]), good=False)
    (root.path / "srv/apt/gone").rename(root.path / "srv/apt/pool")
    assert "/srv/apt/pool/lib_1_all.deb" in told.output and "Failed to fetch" in told.output
    assert What.DONE in root.apply(layer("a", packages=["lib"])).whats
    root.undo("a")
    assert world.snapshot() == before


def test_lists_are_only_downloaded_when_needed(root: Root, world: World) -> None:
    """None there: downloaded. Old ones that name what is gone: downloaded anew."""
    root.sh("rm -f /var/lib/apt/lists/*_*")
    told = root.apply(layer("a", packages=["lib"]))
    assert "InRelease" in told.output
    assert "InRelease" not in root.apply(layer("b", packages=["mail"])).output
    newer = deb(root.path / "srv", "tool", "2", depends="lib")
    apt_repository(root.path / "srv/apt", [*(path for path in world.debs if "tool" not in path.name), newer], world.key)
    (root.path / "srv/apt/pool/tool_1_all.deb").unlink()
    told = root.apply(layer("c", packages=["tool"]))
    assert "InRelease" in told.output and "tool\t2" in root.sh("dpkg-query -W")
    root.undo("c", "b", "a")
    apt_repository(root.path / "srv/apt", world.debs, world.key)


def test_exclude(root: Root) -> None:
    root.apply(layer("a", packages=["mail-agent"], exclude=["lib"]))
    told = root.apply(layer("b", packages=["app"], exclude=["lib"]), good=False)
    assert "lib" in told.output and "app : Depends: lib" in told.output
    assert not (root.path / "etc/apt/preferences").exists() and not list((root.path / "tmp").iterdir())
    root.undo("b", "a")


@pytest.mark.parametrize("name", ["slow", "early"])
def test_killed_while_dpkg_works(root: Root, world: World, name: str) -> None:
    """While it unpacks, or configures, a package. Then applied again, and undone; and undone at once."""
    before = world.snapshot()
    slow = layer("a", packages=[name])
    script = apply_script([root.plan(slow)], TOKEN)
    here, quick = root.path / "tmp/here", root.path / "tmp/quick"
    with killed_at(root, script, here.exists):
        quick.touch()
        told = root.apply(slow)
        assert "finishing what was left half done: dpkg --configure -a" in told.output
        assert names(root) == sorted(["base", "lib", name])
        root.undo("a")
        assert world.snapshot() == before
    here.unlink()
    quick.unlink()
    with killed_at(root, script, here.exists):
        quick.touch()
        root.undo("a")
    assert world.snapshot() == before
    here.unlink()
    quick.unlink()


def test_lock_of_others(root: Root, world: World) -> None:
    """Somebody else's apt is waited for and named; not forever."""
    holder = "import fcntl,time; f = open('/var/lib/dpkg/lock-frontend', 'w'); fcntl.lockf(f, fcntl.LOCK_EX); "
    hold = (
        f"python3 -c \"{holder} open('/run/held', 'w'); time.sleep(float('%s'))\" & until [ -e /run/held ]; do :; done"
    )
    (root.path / "root/script").write_bytes(apply_script([root.plan(layer("a", packages=["lib"]))], TOKEN))
    said = root.sh(f"{hold % '30'}\nexport OV_LOCK_SECONDS=1\nsh /root/script", status=1)
    assert "waiting for process" in said and "which holds /var/lib/dpkg/lock-frontend" in said and "gave up" in said
    said = root.sh(f"{hold % '1.5'}\nsh /root/script")
    assert said.count("waiting for process") == 1 and names(root) == ["base", "lib"]
    root.undo("a")


def test_in_an_image(world: World) -> None:
    """Repository and packages as an image build has them; it leaves no lists and no state."""
    root, before = world.root, world.snapshot()
    for one in (SOURCE, layer("a", packages=["app"])):
        root.tell(image_script(root.plan(one), TOKEN, {}), True)
    assert names(root) == ["app", "base", "lib"]
    assert (root.path / "etc/apt/sources.list.d/test.sources").exists()
    assert not list((root.path / "var/lib/apt/lists").glob("*_Packages"))
    root.sh("apt-get -y purge app lib; rm -r /etc/apt/sources.list.d/* /etc/apt/keyrings; apt-get update")
    assert world.snapshot() == before
