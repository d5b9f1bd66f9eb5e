"""Layers that deployments apply to VMs: which, in which order, and what is wrong with them."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from ovtasks.errors import InputError, InputErrors, Where
from ovtasks.machine.xml.domain import QEMU_NAMESPACE, domain_xml
from ovtasks.machine.xml.merge import own_snippets
from ovtasks.project.layers import layers_of, snippets_of
from ovtasks.project.load import Lazy, check, load_project
from ovtasks.project.schema import inlined
from ovtasks.values.jsonvalue import Json, JsonSchema
from tests.support.machines import HOST, machine
from tests.support.projects import CLOUD, one, place, write

VMS = f"vms: {{web: {{source: {CLOUD}}}, db: {{source: {CLOUD}}}}}\n"


def project(folder: Path, deploy: str, **layers: str) -> Path:
    write(folder, VMS)
    write(folder, deploy, "deploy.yml")
    for name, text in layers.items():
        write(folder, text, f"layers/{name}/layer.yml")
    return folder


def errors(folder: Path) -> list[InputError]:
    return list(check((), folder).errors)


def names(folder: Path, vm: str = "web", *, cache: bool = False) -> list[tuple[str, str]]:
    return [(xml.layer, xml.text) for xml in load_project(folder, cache=cache).vms[vm].layers]


AGENT = "libvirt: [<rng model='virtio'/>]\n"


@pytest.mark.parametrize(
    "entry",
    [
        "vm:web: {add_layers: [a]}",
        "vm:web: {target: vm, add_layers: [a]}",
        "web: {target: vm, add_layers: [a]}",
        "web-vm: {target: vm, add_layers: [a]}",
        "x: {target: vm, vm: web, add_layers: [a]}",
        "x: {target: vm, vm_source: web, add_layers: [a]}",
        "vm:x: {vm: web, add_layers: [a]}",
    ],
)
def test_how_a_deployment_names_its_vm(entry: str, tmp_path: Path) -> None:
    project(tmp_path, f"deploy: {{'{entry.partition(': ')[0]}': {entry.partition(': ')[2]}}}\n", a=AGENT)
    assert names(tmp_path) == [("a", "<rng model='virtio'/>")]
    assert names(tmp_path, "db") == []


def test_order_is_that_of_the_deployments_and_of_needs(tmp_path: Path) -> None:
    deploy = "deploy:\n  vm:web: {add_layers: [c, a]}\n  more: {target: vm, vm: web, add_layers: [d, b]}\n"
    layers = {
        "a": "libvirt: [<a1/>, <a2/>]",
        "b": "requires: [a]\nlibvirt: {snippets: [<b/>]}",
        "c": "layers: [e]\nrequires: [b]\nlibvirt: [<c/>]",
        "d": "packages: [vim]",
        "e": "libvirt: []",
    }
    valid = {name: text.replace("<a1/>", "<genid/>").replace("<a2/>", "<pm/>") for name, text in layers.items()}
    valid = {name: text.replace("<b/>", "<perf/>").replace("<c/>", "<os/>") for name, text in valid.items()}
    project(tmp_path, deploy, **valid)
    first = [("a", "<genid/>"), ("a", "<pm/>"), ("b", "<perf/>"), ("c", "<os/>")]
    assert names(tmp_path) == [*first, ("a", "<genid/>"), ("a", "<pm/>"), ("b", "<perf/>")]
    snippets = snippets_of(load_project(tmp_path, cache=False).vms["web"], None)
    assert [snippet.text for snippet in snippets] == [text for _, text in first]
    assert [snippet.name for snippet in snippets] == ["layer a", "layer a", "layer b", "layer c"]


def test_a_deployment_to_an_instance_is_for_that_one(tmp_path: Path) -> None:
    deploy = "deploy:\n  'vm:web/dev': {add_layers: [a]}\n  vm:web: {add_layers: [b]}\n"
    project(tmp_path, deploy, a="libvirt: [<pm/>]", b="libvirt: [<genid/>]")
    vm = load_project(tmp_path, cache=False).vms["web"]
    assert [snippet.text for snippet in snippets_of(vm, None)] == ["<genid/>"]
    assert [snippet.text for snippet in snippets_of(vm, "dev")] == ["<pm/>", "<genid/>"]


def test_the_vms_own_come_last(tmp_path: Path) -> None:
    project(tmp_path, "deploy: {web: {target: vm, add_layers: [a]}}", a="libvirt: ['<pm/>', ' <genid/>']")
    own = "{snippets: [<genid/>, <perf/>], xml_passthrough: <os/>}"
    write(tmp_path, VMS.replace("web: {", f"web: {{libvirt: {own}, "))
    vm = load_project(tmp_path, cache=False).vms["web"]
    assert [(s.text, s.field) for s in snippets_of(vm, None)] == [
        ("<pm/>", None),
        (" <genid/>", None),
        ("<perf/>", ("libvirt", "snippets", 1)),
        ("<os/>", ("libvirt", "xml_passthrough")),
    ]


def test_places_are_those_of_the_layers_file(tmp_path: Path) -> None:
    text = 'libvirt:\n  - |\n    <pm>\n    </pm>\n  - "<genid/>\\n"\n'
    project(tmp_path, "deploy: {web: {target: vm, add_layers: [a]}}", a=text)
    block, quoted = snippets_of(load_project(tmp_path, cache=False).vms["web"], None)
    assert block.where is not None and quoted.where is not None
    assert (block.where.line, block.where.column, block.begins) == (2, 5, (3, 5))
    assert (quoted.where.line, quoted.where.column, quoted.begins) == (5, 5, None)


@pytest.mark.parametrize(
    ("deploy", "layer", "message", "hint", "where"),
    [
        (
            "deploy: {web: {target: vm, add_layers: [aa]}}",
            "",
            "no layer 'aa'",
            "did you mean 'a'?",
            ("deploy.yml", 1, 41),
        ),
        ("deploy: {web: {target: vm, add_layers: [../a]}}", "", "no layer '../a'", "", ("deploy.yml", 1, 41)),
        ("deploy: {x: {target: vm, vm: wep}}", "", "no VM 'wep'", "did you mean 'web'?", ("deploy.yml", 1, 30)),
        ("deploy: {'vm:x': {}}", "", "no VM 'x'", "declared are web, db", ("deploy.yml", 1, 10)),
        ("deploy: {web: {target: vm, add_layr: [a]}}", "", "'add_layr'", "'add_layers'", ("deploy.yml", 1, 28)),
        ("deploy: {'vm:web': {target: pod}}", "", "target must be one of vm", "", ("deploy.yml", 1, 29)),
        ("deploy: {web: {target: vm, add_layers: a}}", "", "must be a list", "", ("deploy.yml", 1, 40)),
        ("deplyo: {}", "", "unknown key 'deplyo'", "'deploy'", ("deploy.yml", 1, 1)),
        ("[]", "", "must be a mapping", "", ("deploy.yml", 1, 1)),
        ("deploy: {", "", "not YAML", "", ("deploy.yml", 2, 1)),
        (None, "libvrit: []", "unknown key 'libvrit'", "did you mean 'libvirt'?", ("layer.yml", 1, 1)),
        (None, "libvirt: {snippet: []}", "unknown key 'snippet'", "'snippets'", ("layer.yml", 1, 11)),
        (None, "libvirt: <a/>", "must be a list or a mapping", "", ("layer.yml", 1, 10)),
        (None, "libvirt: [{a: 1}]", "must be text", "", ("layer.yml", 1, 11)),
        (None, "libvirt:\n- |\n  <pm>\n   <x>\n  </pm>", "mismatched tag", "innermost", ("layer.yml", 5, 5)),
        (None, "libvirt: [<zzz/>]", "no element <zzz>", "", ("layer.yml", 1, 11)),
        (None, "requires: [b]", "no layer 'b'", "there are a", ("layer.yml", 1, 12)),
        (None, "requires: [a]", "in a circle: a → a", "remove one", ("layer.yml", 1, 12)),
        (None, "a: 1\n---\nb: 1", "one document", "", ("layer.yml", 3, 1)),
        (None, "[", "not YAML", "", ("layer.yml", 2, 1)),
    ],
)
def test_what_is_wrong(
    deploy: str | None, layer: str, message: str, hint: str, where: tuple[str, int, int], tmp_path: Path
) -> None:
    project(tmp_path, deploy or "deploy: {web: {target: vm, add_layers: [a]}}", a=layer or "version: 1\n")
    found = errors(tmp_path)
    matching = [error for error in found if message in error.message]
    assert len(matching) == 1, "\n".join(map(str, found))
    assert hint in (matching[0].hint or "")
    assert place(matching[0]) == where


def test_a_circle_of_three(tmp_path: Path) -> None:
    layers = {"a": "requires: [b]", "b": "layers: [c]", "c": "requires: [a]"}
    project(tmp_path, "deploy: {web: {target: vm, add_layers: [a, b]}}", **layers)
    assert one(errors(tmp_path)).message == "layers need each other in a circle: a → b → c → a"


def test_what_belongs_to_others_is_left_alone(tmp_path: Path) -> None:
    deploy = "version: 4\nprovides: {x: 1}\ndeploy: {pod: {target: pod, sauce: 1}, host: {target: host}, odd: [1]}\n"
    project(tmp_path, deploy, a="libvirt: [<not-read/>]\nsauce: 1\n")
    assert errors(tmp_path) == []


def sample(schema: JsonSchema) -> Json:
    """A value that the schema allows: its example, else the emptiest one."""
    empty: dict[str, Json] = {"array": [], "object": {}, "boolean": True}
    found: Json = schema.get("examples", [empty.get(str(schema.get("type")), "text")])[0]
    return found


def test_every_documented_key_is_accepted(tmp_path: Path) -> None:
    layer = {key: schema for key, schema in inlined("layer")["properties"].items() if key != "layer"}
    values = {key: sample(schema) for key, schema in layer.items()} | {"requires": [], "layers": [], "name": "a"}
    values |= {
        "aur": {"packages": ["yay"]},
        "env_requires": [{"name": "A"}],
        "path_append": "~/bin",
        "libvirt": [],
        "apk": {},
    }
    assert len(layer) > 25
    project(
        tmp_path,
        "deploy: {web: {target: vm, add_layers: [a]}}",
        a="mcp_servers: 1\n" + "".join(f"{key}: {json.dumps(value)}\n" for key, value in sorted(values.items())),
    )
    assert errors(tmp_path) == []


def test_overthink_yml_may_hold_deployments_or_include_their_file(tmp_path: Path) -> None:
    write(tmp_path, VMS)
    write(tmp_path, AGENT, "layers/a/layer.yml")
    write(tmp_path, "deploy: {web: {target: vm, add_layers: [a]}}", "overthink.yml")
    assert names(tmp_path) == [("a", "<rng model='virtio'/>")]
    write(tmp_path, "includes: [more/deploy.yml, deploy.yml]", "overthink.yml")
    write(tmp_path, "deploy: {db: {target: vm, add_layers: [a]}}", "more/deploy.yml")
    write(tmp_path, "deploy: {web: {target: vm, add_layers: [a]}}", "deploy.yml")
    assert names(tmp_path) == names(tmp_path, "db") == [("a", "<rng model='virtio'/>")]


def test_the_files_are_inputs_of_the_project(tmp_path: Path) -> None:
    project(tmp_path, "deploy: {web: {target: vm, add_layers: [a]}}", a=AGENT)
    before = names(tmp_path, cache=True)
    files = {path.relative_to(tmp_path).as_posix() for path in load_project(tmp_path).files}
    assert {"deploy.yml", "layers/a/layer.yml"} <= files
    assert names(tmp_path, cache=True) == before == [("a", "<rng model='virtio'/>")]
    write(tmp_path, "libvirt: [<pm/>]", "layers/a/layer.yml")
    assert names(tmp_path, cache=True) == [("a", "<pm/>")]
    write(tmp_path, "deploy: {}", "deploy.yml")
    assert names(tmp_path, cache=True) == []
    (tmp_path / "deploy.yml").unlink()
    assert names(tmp_path, cache=True) == []
    write(tmp_path, "deploy: {db: {target: vm, add_layers: [a]}}", "deploy.yml")
    assert names(tmp_path, "db", cache=True) == [("a", "<pm/>")]


def test_a_layer_that_comes_later(tmp_path: Path) -> None:
    project(tmp_path, "deploy: {web: {target: vm, add_layers: [a]}}")
    assert one(errors(tmp_path)).hint == "a layer is a file layers/<name>/layer.yml"
    write(tmp_path, AGENT, "layers/a/layer.yml")
    assert names(tmp_path, cache=True) == [("a", "<rng model='virtio'/>")]


def test_the_page_about_it_is_true(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "xml.md").read_text(encoding="utf-8")
    vms, layer, deploy = re.findall(r"(?ms)^```yaml\n(.*?)^```$", page)
    source = "    source: {kind: bootstrap}\n    disk_size: 2G\n"
    write(tmp_path, vms.replace("  web:\n", f"  web:\n{source}"))
    write(tmp_path, layer, "layers/tools/layer.yml")
    write(tmp_path, "version: 1\n", "layers/base/layer.yml")
    write(tmp_path, "libvirt: [<genid/>]\n", "layers/debugging/layer.yml")
    write(tmp_path, deploy, "deploy.yml")
    vm = load_project(tmp_path, cache=False).vms["web"]
    dev = snippets_of(vm, "dev")
    domain = ET.fromstring(domain_xml(machine(snippets=dev), HOST))
    assert [s.name for s in dev][:2] == ["layer tools", "layer debugging"] and len(snippets_of(vm, None)) == len(
        dev
    ) - 1
    for path in ("devices/watchdog", "memoryBacking/source", "genid", "devices/channel[2]"):
        assert domain.find(path) is not None, path
    assert f"{{{QEMU_NAMESPACE}}}commandline" == domain[-1].tag
    disk = own_snippets({"snippets": ["<disk><target dev='vda'/><driver cache='none'/></disk>"]})
    driver = ET.fromstring(domain_xml(machine(snippets=disk), HOST)).find("devices/disk/driver")
    assert driver is not None and driver.get("cache") == "none"


def test_a_mistake_in_a_layer_that_nobody_uses_is_found_by_validate_alone(tmp_path: Path) -> None:
    deploy = "deploy: {web: {target: vm, add_layers: [a]}}"
    project(tmp_path, deploy, a=AGENT, b="taks: []", c="requires: [d]", e="requires: [e]")
    assert errors(tmp_path) == [] and names(tmp_path) == [("a", "<rng model='virtio'/>")]
    assert {path.parent.name for path in load_project(tmp_path, cache=False).files if path.name == "layer.yml"} == {"a"}
    checked = check((), tmp_path, all_layers=True)
    assert [(place(error)[1:], error.message) for error in checked.errors] == [
        ((1, 1), "unknown key 'taks' in the top level"),
        ((1, 12), "there is no layer 'd'"),
        ((1, 12), "layers need each other in a circle: e → e"),
    ]
    assert [layer.name for layer in checked.layers] == ["a", "c", "e"]


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("@github.com/org/repo/layers/x:v2026.64.1937", "layers/x of"),
        ("@github.com/org/repo/layers/x", "layers/x of"),
        ("@github.com/org/repo/layers/x-y:main", "layers/x-y of"),
        ("@x", "layers/<name> of"),
    ],
)
def test_a_layer_of_another_repository_is_not_fetched(name: str, folder: str, tmp_path: Path) -> None:
    project(tmp_path, f"deploy: {{web: {{target: vm, add_layers: [a, '{name}']}}}}", a=f"requires: ['{name}']")
    first, second = errors(tmp_path)
    assert {place(first), place(second)} == {("deploy.yml", 1, 44), ("layer.yml", 1, 12)}
    for error in (first, second):
        assert error.message == f"layer '{name}' is in another repository, and nothing is fetched"
        assert folder in (error.hint or "")


def test_a_bootc_vm_has_the_xml_of_its_image_s_layers(tmp_path: Path) -> None:
    source = "source: {kind: bootc, image: desktop}"
    write(tmp_path, f"vms: {{web: {{{source}, disk_size: 9G}}, db: {{source: {CLOUD}}}}}\n")
    images = "desktop: {base: tools, layers: [b]}, tools: {base: quay.io/a/b, layer: [a]}, other: {base: tools}"
    write(tmp_path, f"image: {{{images}}}", "image.yml")
    write(tmp_path, "deploy: {'vm:web': {add_layers: [a, c]}}", "deploy.yml")
    for name, xml in (("a", "<rng model='virtio'/>"), ("b", "<genid/>"), ("c", "<pm/>")):
        write(tmp_path, f"libvirt: [{xml}]", f"layers/{name}/layer.yml")
    assert [name for name, _ in names(tmp_path)] == ["a", "b", "a", "c"]
    vm = load_project(tmp_path).vms["web"]
    assert [one.text for one in snippets_of(vm, None)] == ["<rng model='virtio'/>", "<genid/>", "<pm/>"]
    assert names(tmp_path, "db") == []


def test_layers_come_with_the_project_in_order(tmp_path: Path) -> None:
    deploy = "deploy: {web: {target: vm, add_layers: [b]}}"
    tasks = "vars: {A: b}\ntasks: [{write: /a, content: b}]\nservice: [{name: s, exec: e}]\neval: [{file: /a}]\n"
    project(
        tmp_path, deploy, a=f"{AGENT}{tasks}secrets: [{{name: s}}]", b="layers: [a]\nshell: {init: x}", c="layers: [b]"
    )
    write(tmp_path, "image: {i: {base: quay.io/a/b, layers: [d, wrong]}}", "image.yml")
    write(tmp_path, "ports: [1]", "layers/d/layer.yml")
    write(tmp_path, "requires: [wrong]", "layers/wrong/layer.yml")
    fresh = load_project(tmp_path, cache=False)
    assert sorted(fresh.layers) == ["a", "b", "d"]
    for path in (tmp_path / "layers").iterdir():
        os.utime(path, ns=(10**18, 10**18))
    load_project(tmp_path)
    cached = load_project(tmp_path)
    assert (tmp_path / "output" / ".ov" / "spec.cache").exists() and type(cached.layers) is Lazy
    assert dict(cached.layers) == dict(fresh.layers)
    where = Where("here")
    for loaded in (fresh, cached):
        assert [layer.name for layer in layers_of(loaded, [("b", where)])] == ["a", "b"]
        assert [layer.name for layer in layers_of(loaded, [("d", where), ("c", where)])] == ["d", "a", "b", "c"]
    for name, message in (("wrong", "in a circle: wrong → wrong"), ("e", "there is no layer 'e'")):
        with pytest.raises(InputErrors, match=message):
            layers_of(cached, [("b", where), (name, where)])
    assert "in a circle" in one(list(check((), tmp_path, all_layers=True).errors)).message
    write(tmp_path, "{}", "layers/a/package.json")
    assert [*load_project(tmp_path).layers["a"].files] == ["package.json"]


def test_a_file_beside_a_layer_needs_the_layer_of_its_program(tmp_path: Path) -> None:
    """If there is one: ``package.json`` needs nodejs. A layer that this one is needed by is not needed in turn."""
    needs = {
        "app": "requires: [base]\n",
        "base": "{}\n",
        "nodejs": "requires: [base]\n",
        "pixi": "requires: [circle]\n",
    }
    project(tmp_path, "deploy: {}\n", circle="{}\n", **needs)
    for name, file in [
        ("app", "package.json"),
        ("base", "package.json"),
        ("circle", "pixi.toml"),
        ("app", "Cargo.toml"),
    ]:
        write(tmp_path, "", f"layers/{name}/{file}")
    found = layers_of(load_project(tmp_path), [("app", Where("x")), ("circle", Where("x"))])
    assert [layer.name for layer in found] == ["base", "nodejs", "app", "circle"]
    assert [need.name for layer in found if layer.name == "app" for need in layer.requires] == ["base", "nodejs"]
