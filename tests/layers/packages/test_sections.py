"""Which packages and repositories of a layer are meant for a system, and what each package manager is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovtasks.errors import InputError
from ovtasks.layers.context import LayerContext
from ovtasks.layers.facts import SystemFacts
from ovtasks.layers.kinds.packages import Packages
from ovtasks.layers.kinds.repositories import Repositories
from ovtasks.layers.operation import Gate, Operation
from ovtasks.layers.sections import manager_of, section_of
from ovtasks.project.layer_file import read_layer
from ovtasks.project.layer_model import LayerPart, LayerSpec
from ovtasks.project.schema import Checker
from ovtasks.values.jsonvalue import Json
from tests.layers.packages.roots import HERE, Shelf

DEBIAN = SystemFacts("debian", "12", codename="bookworm")
UBUNTU = SystemFacts("ubuntu", "24.04", like=("debian",), codename="noble")
FEDORA = SystemFacts("fedora", "43")
ARCH = SystemFacts("arch")
SUSE = SystemFacts("opensuse-leap", "16.0", like=("suse", "opensuse"))
ALPINE = SystemFacts("alpine", "3.21.2")
KEY = "https://example.org/keys/test.asc"


def spec(**sections: dict[str, Json]) -> LayerSpec:
    """A layer; ``any_`` is the list at the top, ``ubuntu__24.04`` stands for ``ubuntu:24.04``."""
    tags = {"" if tag == "any_" else tag.replace("__", ":"): data for tag, data in sections.items()}
    return LayerSpec("a", Path("a"), HERE, sections={tag: LayerPart(data, HERE) for tag, data in tags.items()})


def planned(layer: LayerSpec, facts: SystemFacts) -> tuple[list[str], list[str]]:
    """The operations' names, and what is skipped."""
    context = LayerContext(layer, facts)
    operations = [*Repositories().layer(layer, context), *Packages().layer(layer, context)]
    return [one.name for one in operations], [f"{one.what}: {one.why}" for one in context.skipped]


def test_the_most_exact_section_counts_alone() -> None:
    """As authors mean it: npm is not wanted where a repository brings it in another package."""
    repos: Json = [{"name": "node", "url": "https://example.org/node"}]
    layer = spec(any_={"packages": ["node"]}, ubuntu={"packages": ["npm"]}, **{"ubuntu__24.04": {"repos": repos}})
    assert planned(layer, UBUNTU) == (["add the repository node", "install node"], [])
    older = SystemFacts("ubuntu", "22.04", like=("debian",))
    assert planned(layer, older) == (["install node and npm"], [])
    why = "the layer has sections for ubuntu, ubuntu:24.04, and this is fedora 43"
    assert planned(layer, FEDORA) == (["install node"], [f"its own packages: {why}"])
    del layer.sections[""]  # type: ignore[attr-defined]
    assert planned(layer, FEDORA) == ([], [f"packages: {why}"])


@pytest.mark.parametrize(
    ("tags", "facts", "chosen"),
    [
        (("debian", "deb"), UBUNTU, "debian"),
        (("deb", "rpm"), UBUNTU, "deb"),
        (("deb", "rpm"), SUSE, "rpm"),
        (("opensuse", "rpm"), SUSE, "opensuse"),
        (("fedora:43", "fedora"), FEDORA, "fedora:43"),
        (("fedora:42",), FEDORA, None),
        (("rhel:9", "rhel"), SystemFacts("rhel", "9.4", like=("fedora",)), "rhel:9"),
        (("alpine:3", "apk"), ALPINE, "alpine:3"),
        (("fedora",), SystemFacts("rocky", "9.4", like=("rhel", "centos", "fedora")), "fedora"),
        (("pac", "aur"), ARCH, "pac"),
        (("aur",), ARCH, None),
    ],
)
def test_section(tags: tuple[str, ...], facts: SystemFacts, chosen: str | None) -> None:
    layer = LayerSpec("a", Path("a"), HERE, sections={tag: LayerPart({"packages": [tag]}, HERE) for tag in tags})
    found = section_of(layer, facts)
    assert (found and found.data["packages"]) == (chosen and [chosen])


def test_managers() -> None:
    found = [manager_of(facts) for facts in (DEBIAN, UBUNTU, FEDORA, ARCH, SUSE, ALPINE, SystemFacts("nixos"))]
    assert found == ["apt", "apt", "dnf", "pacman", "zypper", "apk", None]
    assert planned(spec(any_={"packages": ["a"]}), SystemFacts("nixos")) == (
        [],
        ["packages: ovtasks knows no package manager of nixos"],
    )


def one(layer: LayerSpec, facts: SystemFacts, tmp_path: Path) -> Operation:
    """The only operation of a layer, complete."""
    for name, text in (("test.asc", "-----BEGIN PGP PUBLIC KEY BLOCK-----"), ("key", "\x99binary")):
        (tmp_path / name).write_text(text)
    context = LayerContext(layer, facts)
    (operation,) = [*Repositories().layer(layer, context), *Packages().layer(layer, context)]
    assert operation.complete is not None
    return operation.complete(operation, Shelf(tmp_path))


def test_names_options_and_errors(tmp_path: Path) -> None:
    packages: Json = ["g++", "${ARCH}-tool", "lib:i386", "x=1.2", "x"]
    layer = spec(any_={"packages": packages}, debian={"packages": ["x"], "options": ["-t bookworm-backports"]})
    operation = one(layer, DEBIAN, tmp_path)
    assert operation.name == "install g++, amd64-tool, lib:i386 and 2 more" and operation.gate is None
    assert operation.do.splitlines()[1:] == [
        "ov_options='-t bookworm-backports'",
        "ov_pkg_do g++ amd64-tool lib:i386 x=1.2 x",
    ]
    for wrong in ("a b", "--yes", "$(uname -r)", "php*", ""):
        with pytest.raises(InputError, match="is not a valid package name"):
            planned(spec(any_={"packages": [wrong]}), DEBIAN)
    _, skipped = planned(spec(arch={"packages": ["a"], "exclude": ["b"]}), ARCH)
    assert skipped == ["exclude: pacman cannot leave out a package"]


def test_an_operation_stays_the_same_when_its_functions_change(tmp_path: Path) -> None:
    """The functions come with ``complete``, and the digest is older."""
    layer = spec(any_={"packages": ["a"]})
    (plain,) = Packages().layer(layer, LayerContext(layer, DEBIAN))
    assert "pm_install" not in plain.save + plain.do + plain.look + plain.undo + plain.in_image
    whole = one(layer, DEBIAN, tmp_path)
    assert "pm_install" in whole.save and whole.do == plain.do and whole.undo == plain.undo


def test_repository_of_apt(tmp_path: Path) -> None:
    repo: dict[str, Json] = {
        "name": "t",
        "url": "https://example.org/$(lsb_release -cs)",
        "key": "https://example.org/key",
    }
    repo |= {"components": ["main", "extra"], "architectures": "amd64 arm64", "enabled": False}
    operation = one(spec(debian={"repos": [repo]}), DEBIAN, tmp_path)
    assert operation.gate is Gate.REPOSITORY and operation.name == "add the repository t"
    assert operation.uploads[0].content == (
        b"Types: deb\nURIs: https://example.org/bookworm\nSuites: bookworm\nComponents: main extra\n"
        b"Architectures: amd64 arm64\nSigned-By: /etc/apt/keyrings/t.gpg\nEnabled: no\n"
    )
    flat = one(
        spec(debian={"repos": [{"url": "https://example.org/flat", "suite": "./", "gpgcheck": False}]}),
        DEBIAN,
        tmp_path,
    )
    assert flat.name == "add the repository example-org"
    assert flat.uploads[0].content == b"Types: deb\nURIs: https://example.org/flat\nSuites: ./\nTrusted: yes\n"
    skipped = planned(spec(debian={"repos": [{"url": "u", "suite": "s", "priority": 3}]}), DEBIAN)[1]
    assert skipped == ["priority of a repository: apt has nothing like it"]
    for wrong, message in (
        ({"name": "t"}, "a repository needs its url"),
        ({"url": "https://example.org/$(id -un)"}, "has a command that is not run here"),
    ):
        with pytest.raises(InputError, match=message):
            planned(spec(debian={"repos": [wrong]}), DEBIAN)
    with pytest.raises(InputError, match="nothing says which suite"):
        planned(spec(debian={"repos": [{"url": "u"}]}), SystemFacts("debian", "12"))


def test_repository_of_rpm(tmp_path: Path) -> None:
    repo: dict[str, Json] = {"name": "t", "url": "https://example.org/$releasever/$basearch", "key": KEY, "priority": 5}
    operation = one(spec(fedora={"repos": [repo]}), FEDORA, tmp_path)
    assert operation.uploads[0].content == (
        b"[t]\nname=t\nbaseurl=https://example.org/$releasever/$basearch\nenabled=1\nautorefresh=1\ngpgcheck=1\n"
        b"gpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-t\npriority=5\n"
    )
    ready = "[a]\nbaseurl=x\ngpgkey=https://example.org/keys/test.asc\n  https://example.org/key\n"
    (tmp_path / "ready.repo").write_text(ready)
    url: dict[str, Json] = {"name": "r", "url": "https://example.org/ready.repo"}
    assert [up.name for up in one(spec(fedora={"repos": [url]}), FEDORA, tmp_path).uploads] == ["source"]
    suse = one(spec(rpm={"repos": [url]}), SUSE, tmp_path)
    assert [up.name for up in suse.uploads] == ["source", "key1", "key2"] and suse.uploads[0].content == ready.encode()
    assert "/etc/zypp/repos.d/r.repo" in suse.do
    names, skipped = planned(spec(rpm={"copr": ["a/b"], "modules": ["m:1"]}), SUSE)
    assert (names, skipped) == ([], ["copr: zypper has no COPR", "modules: zypper has no modules"])


def test_pinned_keys(tmp_path: Path) -> None:
    """The digest goes to who downloads; without one, people are told."""
    asked: list[tuple[str, str | None]] = []

    class Told(Shelf):
        def download(self, url: str, digest: str | None, where: object) -> Path:
            asked.append((url, digest))
            return tmp_path / "test.asc"

    (tmp_path / "test.asc").write_text("key")
    shelf = Told(tmp_path)
    for pin in ({}, {"key_sha256": "AB" * 32}):
        layer = spec(debian={"repos": [{"name": "t", "url": "u", "key": KEY, **pin}]})
        (operation,) = Repositories().layer(layer, LayerContext(layer, DEBIAN))
        assert operation.complete is not None
        operation.complete(operation, shelf)
    assert asked == [(KEY, None), (KEY, f"sha256:{'ab' * 32}")]
    assert shelf.said == [f"the key {KEY} is not pinned: key_sha256 says which one it must be"]


def test_copr_and_modules() -> None:
    section: dict[str, Json] = {"copr": ["a/b"], "repos": [{"copr": "@c/d"}], "modules": ["valkey:remi-9.0"]}
    names, _ = planned(spec(fedora=section), FEDORA)
    assert names == [
        "install dnf-command(copr)",
        "enable the COPR a/b",
        "enable the COPR @c/d",
        "enable the module valkey:remi-9.0",
    ]
    for key, value in (("copr", "ab"), ("modules", "m")):
        with pytest.raises(InputError, match=repr(value)):
            planned(spec(fedora={key: [value]}), FEDORA)


def test_repository_of_pacman_and_apk(tmp_path: Path) -> None:
    repo: dict[str, Json] = {"name": "t", "server": "https://example.org/$repo/$arch", "siglevel": "Required"}
    content = one(spec(arch={"repos": [repo]}), ARCH, tmp_path).uploads[0].content
    assert content == b"[t]\nSigLevel = Required\nServer = https://example.org/$repo/$arch\n"
    alpine = one(spec(alpine={"repos": [{"url": "https://example.org/v3.21", "key": KEY}]}), ALPINE, tmp_path)
    assert alpine.do.splitlines()[-1] == "ov_apk_repo_do https://example.org/v3.21 /etc/apk/keys/test.asc"


def test_places(tmp_path: Path) -> None:
    """An error is where the value stands."""
    lines = (
        "name: a",
        "distros:",
        "  debian:",
        "    repos:",
        "      - name: t",
        "        url: https://x/$(id)",
        "packages: [b c]",
    )
    path = tmp_path / "layers/a/layer.yml"
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(lines) + "\n")
    layer, errors = read_layer(path, Checker())
    assert layer is not None and not errors
    context = LayerContext(layer, DEBIAN)
    for kind, place in ((Repositories(), "layer.yml:6:14"), (Packages(), "layer.yml:7:12")):
        with pytest.raises(InputError) as found:
            list(kind.layer(layer, context))
        assert str(found.value.where).endswith(place)
