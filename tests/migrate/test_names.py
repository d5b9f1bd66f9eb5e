"""``ov migrate names``: today's names, and nothing else; by the table that reading uses."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovtasks.errors import InputError, OvError
from ovtasks.migrate.names import migrate_names
from ovtasks.project.file_names import with_our_names
from ovtasks.project.load import load_project
from ovtasks.values.yamlio import parse_yaml
from tests.migrate.projects import make, result, settled

OTHER = """\
\ufeff# für alle
vm:\r
    'a' :   # one
      "cpu": 2      # two
      source: {kind: bootstrap, "package":[curl,],}
      disk_size: 2G
      cloud_init:
        package: [a,   b]
        runcmd:
          - |
            cpu: 3
      libvirt: &l
        device: {rng: [{model: virtio}]}
    b: {<<: &m {cpu: 1, disk_size: 2G}, source: {kind: bootstrap}, libvirt: *l}
---
box: {x: {containerfile: 'c', "build_arg": {A: '1'}}}
"""
OURS = (
    OTHER.replace('"cpu"', '"cpus"')
    .replace('"package"', '"packages"')
    .replace("package:", "packages:")
    .replace("{cpu: 1", "{cpus: 1")
    .replace("device:", "devices:")
    .replace("box:", "image:")
    .replace('"build_arg"', '"build_args"')
)


def test_only_names_change(tmp_path: Path) -> None:
    make(tmp_path, {"overthink.yml": OTHER})
    before = load_project(tmp_path, cache=False)
    assert settled(tmp_path, "names") == {"overthink.yml": OURS}
    after = load_project(tmp_path, cache=False)
    assert {name: vm.cpus for name, vm in after.vms.items()} == {name: vm.cpus for name, vm in before.vms.items()}


def test_layers_and_included_files(tmp_path: Path) -> None:
    layer = "layer:\n  depends: [a]   # it\n  tests:\n    - {file: /x, header: [h]}\n"
    files = {"overthink.yml": "include: sub/*.yml\n", "sub/d.yml": "deploy: {w: {add_layer: [x]}}\n"}
    make(tmp_path, {**files, "layers/x/layer.yml": layer, "vms.yml": "vms: {}\n"})
    ours = layer.replace("depends", "requires").replace("tests", "eval").replace("header", "headers")
    assert settled(tmp_path, "names") == {
        "overthink.yml": "includes: sub/*.yml\n",
        "sub/d.yml": "deploy: {w: {add_layers: [x]}}\n",
        "layers/x/layer.yml": ours,
    }


@pytest.mark.parametrize(
    ("text", "message", "line", "column"),
    [
        ("vms: {a: {cpus: 1,\n  cpu: 2}}", "mean the same", 2, 3),
        ("vms: {a: {cpu: 1,\n  cpu: 2}}", "twice", 2, 3),
        ("vms:\n  a: [\n", "not YAML", 3, 1),
    ],
)
def test_errors(tmp_path: Path, text: str, message: str, line: int, column: int) -> None:
    make(tmp_path, {"vms.yml": text})
    with pytest.raises(InputError) as caught:
        result(tmp_path, "names")
    found = getattr(caught.value, "errors", (caught.value,))[0]
    assert message in found.message and found.where and (found.where.line, found.where.column) == (line, column)


def test_an_anchor_with_two_meanings_is_refused(tmp_path: Path) -> None:
    make(tmp_path, {"vms.yml": "vms:\n  a: &x {cpu: 1}\nx-own: *x\n"})
    with pytest.raises(OvError, match="cannot be changed alone"):
        result(tmp_path, "names")


KEYS = st.sampled_from(["cpu", "cpus", "snapshot", "tests", "ram", "'cpu'", '"tests"', "source", "network", "eval"])
VALUES = ("1", "x # c", "'cpu: 2'", "[package, {cpu: 1}]", "{package: [a], box: b}", "|\n    cpu: 1", "")
LEAVES = st.sampled_from(VALUES)


@given(st.lists(st.lists(st.tuples(KEYS, LEAVES), max_size=4), min_size=1, max_size=3), st.sampled_from(["vms", "vm"]))
def test_migrating_means_the_same_and_is_done_once(vms: list[list[tuple[str, str]]], root: str) -> None:
    body = "".join(f"  v{n}:\n" + "".join(f"   {k}: {v}\n" for k, v in vm) for n, vm in enumerate(vms))
    text = f"{root}:\n{body}"
    path = Path("vms.yml")
    try:
        wanted, errors = with_our_names(parse_yaml(text.encode(), "vms.yml")[0])
    except InputError:
        errors = [InputError("a key appears twice")]
    if errors:
        with pytest.raises(InputError):
            migrate_names(path, text)
        return
    new = migrate_names(path, text)
    assert parse_yaml(new.encode(), "vms.yml")[0].data == wanted.data
    assert migrate_names(path, new) == new


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("vm:\n  a:\n    cpu:\t3\t# c\n", "vm:\n  a:\n    cpus:\t3\t# c\n"),
        ("vm:\t# all\n  a: {cpu:\t3}\n", "vm:\t# all\n  a: {cpus:\t3}\n"),
        ("vm:\r\n  a:\r\n    cpu: 3 # \N{GRINNING FACE}\r\n", "vm:\r\n  a:\r\n    cpus: 3 # \N{GRINNING FACE}\r\n"),
    ],
)
def test_what_reads_a_file_also_migrates_it(tmp_path: Path, old: str, new: str) -> None:
    """One parser for both: libyaml takes tabs where PyYAML's own does not."""
    make(tmp_path, {"vm.yml": old})
    assert settled(tmp_path, "names") == {"vm.yml": new}
