"""Layer files: every spelling means the same. :mod:`.test_layer_mistakes` has what is wrong in them."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
from collections.abc import Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from textwrap import dedent
from typing import ClassVar

import pytest

from ovtasks import registry
from ovtasks.errors import OvError, Where
from ovtasks.project.distro_tags import is_tag, normalized
from ovtasks.project.layer_file import read_layer
from ovtasks.project.layer_model import LayerSpec
from ovtasks.project.schema import Checker, schema_text, task_schemas
from ovtasks.values.jsonvalue import Json
from tests.project.test_layer_mistakes import wrong
from tests.support.projects import one, write

CHECKER = Checker()


def read(folder: Path, text: str, name: str = "tool") -> LayerSpec:
    layer, errors = read_layer(write(folder, dedent(text), f"layers/{name}/layer.yml"), CHECKER)
    assert errors == [] and layer is not None, "\n".join(map(str, errors))
    return layer


def plain(value: object) -> object:
    """A layer without places."""
    if isinstance(value, Where):
        return None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {
            f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.name not in {"places", "where"}
        }
        return {name: plain(field) for name, field in fields.items()}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


OURS = """\
    name: tool
    description: A tool
    requires: [base]
    layers: [more]
    packages: [tool]
    distros:
      debian: {packages: [tool-deb], options: [--no-install-recommends]}
      ubuntu: {packages: [tool-deb], options: [--no-install-recommends]}
      debian:13:
        packages: [tool-13]
        repos: [{name: r, url: https://r.example, key: https://r.example/key, suite: trixie, components: [main, more]}]
      arch: {aur: {packages: [tool-bin], replaces: [tool]}}
      fedora: {packages: [tool-rpm], modules: ["tool:1"], copr: [a/b], exclude: [x]}
    vars: {VERSION: "1.10"}
    env: {EDITOR: vim, YES: "true"}
    path_append: [~/bin]
    tasks:
      - {mkdir: /etc/tool, mode: "0755", user: root}
      - {link: /usr/bin/t, target: /usr/bin/tool}
      - {cmd: tool --init, uninstall: [tool --clear]}
      - {download: https://r.example/t.tar.gz, to: /opt, include: [bin/t], checksum: "sha256:%s"}
    service:
      - {name: tool, exec: /bin/tool, restart: "no", after: [a.target], start_secs: 1, exit_codes: 0, auto_start: true}
    eval:
      - {id: a, command: tool, exit_status: 0, exclude_distros: [arch]}
      - {id: b, package: tool, versions: ["1.10"]}
    artifacts: [{name: a, path: /etc/a, retrieve_to: a, mode: "0600", wait_seconds: 5}]
    env_requires: [{name: A}]
    env_accepts: [{name: B}]
    secret_requires: [{name: C}]
    secret_accepts: [{name: D}]
    secrets: [{name: e, env: E}]
""" % ("a" * 64)

SPELLINGS = [
    ("requires: [base]", "depends: [base]"),
    ("requires: [base]", "require: [base]"),
    ("layers: [more]", "layer: [more]"),
    ("    packages: [tool]\n", "    package: [tool]\n"),
    ("    packages: [tool]\n", "    package: [{name: tool, description: what it is}]\n"),
    ("distros:", "distro:"),
    ("debian: {packages: [tool-deb]", "debian: {package: [tool-deb]"),
    ("options: [--no-install-recommends]", "option: --no-install-recommends"),
    ("debian:13:", "debian-13:"),
    ("debian:13:", '"debian:13":'),
    ("arch: {aur", "archlinux: {aur"),
    ("repos: [", "repo: ["),
    ("key: https", "gpgkey: https"),
    ("components: [main, more]", "components: main more"),
    ("components: [main, more]", "component: main more"),
    ("aur: {packages: [tool-bin], replaces: [tool]}", "aur: {package: [tool-bin], replace: tool}"),
    ('modules: ["tool:1"], copr: [a/b], exclude: [x]', 'module: "tool:1", copr: a/b, exclude: x'),
    ("vars: {", "var: {"),
    ('VERSION: "1.10"', "VERSION: 1.10"),
    ('YES: "true"', "YES: true"),
    ("path_append: [~/bin]", "path_append: ~/bin"),
    ("tasks:", "task:"),
    ('mode: "0755"', "mode: 0755"),
    ('mode: "0755"', "mode: 755"),
    ('mode: "0755"', 'mode: "755"'),
    ("target: /usr", "to: /usr"),
    ("uninstall: [tool --clear]", "uninstall: tool --clear"),
    ("include: [bin/t]", "include: bin/t"),
    (f'checksum: "sha256:{"a" * 64}"', f"sha256: {'A' * 64}"),
    ("service:", "services:"),
    ('restart: "no"', "restart: no"),
    ("after: [a.target]", "after: a.target"),
    ("start_secs: 1, exit_codes: 0, auto_start: true", "start_sec: 1, exit_code: 0, autostart: true"),
    ("eval:", "tests:"),
    ("exit_status: 0", "exit_code: 0"),
    ("exclude_distros: [arch]", "exclude_distro: arch"),
    ('versions: ["1.10"]', "version: 1.10"),
    ("artifacts:", "artifact:"),
    ("wait_seconds", "wait_second"),
    ("env_requires", "env_require"),
    ("env_accepts", "env_accept"),
    ("secret_requires", "secret_require"),
    ("secret_accepts", "secret_accept"),
    ("    secrets:", "    secret:"),
]


@pytest.mark.parametrize(("ours", "other"), SPELLINGS, ids=[other.strip() for _, other in SPELLINGS])
def test_spellings_that_mean_the_same(ours: str, other: str, tmp_path: Path) -> None:
    assert OURS.count(ours) >= 1
    assert plain(read(tmp_path, OURS.replace(ours, other))) == plain(read(tmp_path, OURS))


def test_all_other_spellings_at_once_below_layer(tmp_path: Path) -> None:
    text = OURS
    for ours, other in SPELLINGS:
        text = text.replace(ours, other)
    below = "version: 4\nlayer:\n" + "".join(f"  {line}\n" for line in dedent(text).splitlines())
    assert plain(read(tmp_path, below)) == plain(read(tmp_path, OURS))


@pytest.mark.parametrize(
    "text",
    [
        "distros: {debian: {packages: [a]}, ubuntu: {packages: [a]}}",
        "distro: {'debian,ubuntu': {package: [a]}}",
        "'debian, ubuntu': {packages: [a]}",
        "debian: {packages: [a]}\nubuntu: {packages: [a]}",
        "debian: {packages: [a]}\ndistros: {ubuntu: {packages: [a]}}",
    ],
)
def test_sections_of_several_distributions(text: str, tmp_path: Path) -> None:
    found = read(tmp_path, text).sections
    assert {tag: section.data for tag, section in found.items()} == {
        "debian": {"packages": ["a"]},
        "ubuntu": {"packages": ["a"]},
    }


def test_a_section_of_its_own_adds_to_one_of_several(tmp_path: Path) -> None:
    text = """\
        distros:
          "debian,ubuntu": {packages: [a], repos: [{name: one, url: u}]}
          ubuntu: {packages: [{name: b}], repos: [{name: two, url: u}], options: [-x]}
        """
    found = read(tmp_path, text).sections
    assert found["debian"].data == {"packages": ["a"], "repos": [{"name": "one", "url": "u"}]}
    assert found["ubuntu"].data == {
        "packages": ["a", "b"],
        "repos": [{"name": "one", "url": "u"}, {"name": "two", "url": "u"}],
        "options": ["-x"],
    }
    assert [found["ubuntu"].place(f"repos[{n}].name").line for n in (0, 1)] == [2, 3]


def test_formats_of_packages_and_the_list_for_all(tmp_path: Path) -> None:
    text = "packages: [z]\nrpm: {packages: [a]}\ndeb: {package: [b]}\npac: {packages: [c]}\naur: {packages: [d]}"
    text += "\napk: {packages: [e]}"
    found = read(tmp_path, text).sections
    assert {tag: section.data["packages"] for tag, section in found.items()} == {
        "": ["z"],
        "rpm": ["a"],
        "deb": ["b"],
        "pac": ["c"],
        "apk": ["e"],
        "aur": ["d"],
    }
    assert (found["deb"].where.line, found[""].place("packages[0]").column) == (3, 12)


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("debian", "debian"),
        ("debian-13", "debian:13"),
        ("debian:13", "debian:13"),
        ("ubuntu-24.04", "ubuntu:24.04"),
        ("opensuse-leap-15.6", "opensuse-leap:15.6"),
        ("opensuse-tumbleweed", "opensuse-tumbleweed"),
        ("archlinux", "arch"),
        ("fedora:43", "fedora:43"),
        (" fedora ", "fedora"),
        ("Debian", None),
        ("", None),
        ("debian:", None),
        ("a b", None),
    ],
)
def test_tags(text: str, tag: str | None) -> None:
    assert normalized(text) == tag
    assert is_tag(text) is (tag is not None)


def test_what_a_layer_has(tmp_path: Path) -> None:
    write(tmp_path, "{}", "layers/tool/package.json")
    write(tmp_path, "", "layers/tool/pixi.toml")
    write(tmp_path, "", "layers/tool/readme")
    layer = read(tmp_path, OURS + "    reboot: true\n")
    assert (layer.name, layer.folder, layer.description) == ("tool", tmp_path / "layers" / "tool", "A tool")
    assert [need.name for need in layer.requires] == ["base", "more"]
    assert layer.variables == {"VERSION": "1.10"}
    assert layer.environment is not None and layer.environment.data == {"EDITOR": "vim", "YES": "true"}
    assert [task.verb for task in layer.tasks] == ["mkdir", "link", "cmd", "download"]
    assert [check.verb for check in layer.checks] == ["command", "package"]
    assert [(one.data["name"], one.required) for one in layer.env_inputs] == [("A", True), ("B", False)]
    assert [(one.required, one.own) for one in layer.secrets] == [(True, False), (False, False), (False, True)]
    assert [*layer.files] == ["package.json", "pixi.toml"]
    assert layer.reboot and layer.tasks[0].place("mode") == layer.tasks[0].error("", "mode").where
    first = OURS.splitlines().index('      - {mkdir: /etc/tool, mode: "0755", user: root}') + 1
    assert [layer.tasks[0].where.line, layer.tasks[0].place("mode").column] == [first, 30]


def test_keys_that_the_user_chooses_mean_nothing(tmp_path: Path) -> None:
    text = """\
        env: {mode: fast, options: a b, tag: x}
        vars: {args: a}
        tasks: [{cmd: a, env: {mode: fast, include: x}}]
        service: [{name: s, exec: a, env: {after: x}}]
        eval: [{package: a, package_map: {arch: b, mode: c}}, {command: a, stdout: {mode: fast}}]
        """
    layer = read(tmp_path, text)
    assert layer.environment is not None
    assert layer.environment.data == {"mode": "fast", "options": "a b", "tag": "x"}
    assert layer.tasks[0].data["env"] == {"mode": "fast", "include": "x"}
    assert layer.services[0].data["env"] == {"after": "x"}
    assert layer.checks[0].data["package_map"] == {"arch": "b", "mode": "c"}
    assert layer.checks[1].data["stdout"] == {"mode": "fast"}


def test_shell_and_scenarios(tmp_path: Path) -> None:
    text = """\
        description:
          feature: What it is
          narrative: more
          tag: working
          scenario:
            - name: works
              steps:
                - {given: it is there, file: /etc/tool}
                - {when: nothing is done}
                - {then: it answers, command: tool, stdout: [{matches: ^1}]}
        shell: {init: a, path_append: ~/bin, priority: 20, fish: {init: b, path_append: [~/x]}}
        eval: [{id: a, port: 22}, {libvirt: guest/exec, command: "true"}]
        """
    layer = read(tmp_path, text)
    assert layer.description == "What it is"
    assert [check.verb for check in layer.checks] == ["port", "libvirt", "file", "command"]
    assert layer.checks[2].where.line == 8
    assert layer.shell is not None
    assert layer.shell.data["path_append"] == ["~/bin"]
    assert layer.shell.data["fish"] == {"init": "b", "path_append": ["~/x"]}
    assert layer.shell.place("fish.init").column == 65


def test_fields_of_containers_are_listed(tmp_path: Path) -> None:
    text = """\
        layer:
          ports: [80]
          volume: [{name: a, path: /a}]
          alias: {a: b}
          security: {privileged: true}
          mcp_provide: [{name: a}]
          mcp_whatever: 1
          env_provide: {A: b}
          data: {}
          hooks: {}
          apk: [{package: org.example}]
          env: {A: b}
          version: 2026.1
        """
    ignored = read(tmp_path, text).ignored
    expected = "ports volumes aliases security mcp_provides mcp_whatever env_provides data hooks apk"
    assert [field.name for field in ignored] == expected.split()
    assert (ignored[1].where.line, ignored[1].where.column) == (3, 3)


def test_an_empty_file_is_a_layer(tmp_path: Path) -> None:
    assert plain(read(tmp_path, "# nothing yet\n")) == plain(read(tmp_path, "layer:\n"))


class Touch:
    """Another package's kind of operation."""

    name = "touch"
    schema: ClassVar[dict[str, Json]] = {
        "touch": {"type": "string", "description": "The file."},
        "times": {"type": "integer", "description": "How often."},
        "mode": {"type": "string", "description": "Another package's own meaning."},
    }


class Wrong(Touch):
    schema: ClassVar[dict[str, Json]] = {"touch": {"type": "nonsense"}}


@pytest.fixture
def entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = {"touch": Touch, "bad": Wrong}
    found = [EntryPoint(name, f"{__name__}:{kind.__name__}", registry.OPERATIONS) for name, kind in kinds.items()]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: found if group == registry.OPERATIONS else [])


@pytest.mark.usefixtures("entry_points")
def test_another_package_s_verb(tmp_path: Path) -> None:
    task = read(tmp_path, "tasks: [{touch: /a, times: 2, mode: fast, user: me, uninstall: rm /a}]").tasks[0]
    assert task.verb == "touch"
    assert task.data == {"touch": "/a", "times": 2, "mode": "fast", "user": "me", "uninstall": ["rm /a"]}
    error = one(wrong(tmp_path, "tasks: [{touch: /a, tims: 2}]"))
    assert "unknown key 'tims' in tasks[0]" in error.message and error.hint == "did you mean 'times'?"
    with pytest.raises(OvError, match="plugin of task bad brings a wrong JSON Schema"):
        wrong(tmp_path, "tasks: [{bad: /a}]")


def test_the_schema_describes_what_is_carried_out() -> None:
    assert "Not read by this version" not in schema_text("layer")
    verbs = set(task_schemas())
    assert verbs <= {*registry.BUILT_IN[registry.OPERATIONS]}
    whole = json.loads(schema_text("layer"))["properties"]["tasks"]["items"]["allOf"]
    assert {condition["if"]["required"][0] for condition in whole} == verbs
    for schema in task_schemas().values():
        assert {"user", "uninstall", "comment"} <= schema["properties"].keys()
