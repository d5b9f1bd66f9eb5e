"""Blocks for cloud-init mean what PyYAML makes of their text, wherever they stand."""

from __future__ import annotations

import json
import marshal
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ovtasks.errors import InputError
from ovtasks.project.load import load_project
from ovtasks.project.model import VmSpec
from ovtasks.seed.cloud_init import SeedInput, render
from ovtasks.values.jsonvalue import plain
from ovtasks.values.passed import decode, encode
from ovtasks.values.yamlio import parse_yaml
from tests.support.projects import CLOUD, errors_of, one, place, write

WORDS = """no yes on off No OFF y n true ~ null 0644 0o644 010 0x1F 0b101 1_000 1__0 12:30 1:30 190:20:30
52:54:00:12:34:56 02:42:ac:11:00:02 1e3 1.0e+3 1.5 .5 1. +.inf -.INF .nan 1:30.5 2024-01-01 2024-01-01T10:00:00Z
2001-12-14t21:59:43.10-05:00 99999999999999999999999 -0 +12 0 00 1.10 10.0.0.1/24 <none> 1,000 0.1e1 6.8523015e+5"""
QUOTED = ["'no'", '"0644"', "'~'", '""', "!!str no", "!!str 0644", "!!int '7'", "!!float 3", "!!binary aGk=", "! no"]
QUOTED += [
    "!!bool 'yes'",
    "!!null ''",
    "!!timestamp '2024-01-01'",
    '"\\u263a\\0"',
    "!!set {a, b}",
    "!!omap [a: 1, b: no]",
]
QUOTED += ["!!pairs [a: 1, a: 2]", "!!map {on: off}", "!!seq [no]"]
BLOCKS = ["|\n  a\n   b\n\n", ">\n  a\n  b\n\n  c\n", "|-\n  a\n", "|+\n  a\n\n\n", "|2\n    a\n", ">-\n  a\n\n  b\n"]
SHAPES = ["{k: &x %s, l: *x}", "{%s: 1}", "[%s, [%s]]", "{<<: {a: %s, b: 1}, b: %s}", "{? %s : %s}"]


def seed(folder: Path, block: str, root: str = "vms:\n  a:\n") -> dict[str, bytes]:
    """The seed of a VM whose ``cloud_init`` block is ``block``, in block style without indentation."""
    lines = "\n".join(f"      {line}" for line in block.split("\n"))
    text = f"{root}    source: {CLOUD}\n    ssh: {{key_source: none}}\n    cloud_init:\n{lines}"
    write(folder, text)
    vm = load_project(folder, cache=False).vms["a"]
    assert isinstance(vm, VmSpec)
    return render(SeedInput(vm, "ov-1", "a"))


def same(one: Any, other: Any) -> bool:
    """Equal values of equal types; what is not a number equals itself."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return len(one) == len(other) and all(
            same(a, b) for a, b in zip(sorted(one.items(), key=repr), sorted(other.items(), key=repr), strict=True)
        )
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other) or repr(one) == repr(other)


def indented(text: str) -> str:
    return text.replace("\n", "\n  ")


@pytest.mark.parametrize("word", [*WORDS.split(), *QUOTED])
def test_words(word: str, tmp_path: Path) -> None:
    made = seed(tmp_path, f"extra: {{x: {word}}}\nnetwork: {{ethernets: {{e: {{x: {word}}}}}}}")
    expected = yaml.safe_load(f"{{x: {word}}}")
    assert same(yaml.safe_load(made["user-data"])["x"], expected["x"])
    assert same(yaml.safe_load(made["network-config"])["ethernets"]["e"], expected)


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes(shape: str, tmp_path: Path) -> None:
    for word in ("no", "0644", "2024-01-01", "12:30", "'no'", "1", "~", ".inf"):
        text = shape.replace("%s", word)
        expected = yaml.safe_load(f"x: {text}")["x"]
        assert same(yaml.safe_load(seed(tmp_path, f"extra: {{x: {text}}}")["user-data"])["x"], expected), text


@pytest.mark.parametrize("block", BLOCKS)
def test_blocks_of_text_keep_their_bytes(block: str, tmp_path: Path) -> None:
    made = seed(tmp_path, f"extra:\n  x: {indented(block)}")
    assert yaml.safe_load(made["user-data"])["x"] == yaml.safe_load(f"x: {block}")["x"]


def test_extra_as_text_means_the_same(tmp_path: Path) -> None:
    text = "a: no\nb: 0644\non: [12:30, &x !!binary aGk=, *x]\nc: |\n  x\n   y\n"
    made = seed(tmp_path, "extra: |\n  #cloud-config\n  " + text.replace("\n", "\n  "))
    found = yaml.safe_load(made["user-data"])
    assert {key: found[key] for key in ("a", "b", True, "c")} == yaml.safe_load(text)
    assert seed(tmp_path, "extra:\n  " + text.replace("\n", "\n  ")) == made


@pytest.mark.parametrize("root", ["vms:\n  a:\n", "vm:\n  a:\n", "vm:\n    name: a\n", "---\n# x\n---\nvms:\n  a:\n"])
def test_every_place_of_a_vm(root: str, tmp_path: Path) -> None:
    made = seed(tmp_path, "network: {ethernets: {e: {dhcp4: no, optional: on}}}", root)
    assert yaml.safe_load(made["network-config"])["ethernets"] == {"e": {"dhcp4": False, "optional": True}}


def test_anchors_of_other_vms_and_merges(tmp_path: Path) -> None:
    text = f"""\
vms:
  b: &b
    source: {CLOUD}
    cloud_init: &c
      network: {{ethernets: {{e: &e {{dhcp4: no, mtu: 0x5dc}}}}}}
      extra: {{x: &t !!binary aGk=, y: *t, z: &s [sleep 5, sleep 5]}}
  a:
    <<: [*b]
    cloud_init:
      <<: *c
      extra: {{w: *s, z: *e}}
"""
    write(tmp_path, text)
    project = load_project(tmp_path, cache=False)
    made = render(SeedInput(project.vms["a"], "ov-1", "a"))
    assert yaml.safe_load(made["network-config"])["ethernets"] == {"e": {"dhcp4": False, "mtu": 1500}}
    found = yaml.safe_load(made["user-data"])
    assert (found["w"], found["z"]) == (["sleep 5", "sleep 5"], {"dhcp4": False, "mtu": 1500})
    found = yaml.safe_load(render(SeedInput(project.vms["b"], "ov-1", "b"))["user-data"])
    assert (found["x"], found["y"]) == (b"hi", b"hi")


def test_the_cache_keeps_the_meaning(tmp_path: Path) -> None:
    seed(tmp_path, "extra: {x: [no, 2024-01-01, !!set {1, no}, .nan, {1: 2}], on: !!binary aGk=}")
    first, second = (load_project(tmp_path).vms["a"] for _ in range(2))
    assert (tmp_path / "output" / ".ov" / "spec.cache").exists()
    assert first.cloud_init == second.cloud_init
    assert render(SeedInput(first, "i", "a")) == render(SeedInput(second, "i", "a"))


WRONG = [
    ("extra: {x: =}", "could not determine a constructor for the tag '!!value'", 11),
    ("extra: {x: !!int a}", "it is not of type int", 11),
    ("extra: {x: !!bool a}", "it is not of type bool", 11),
    ("extra: {x: 2024-13-45}", "it is not of type timestamp", 11),
    ("network: {ethernets: {x: {y: !Ref z}}}", "constructor for the tag '!Ref'", 29),
    ("extra: {x: 1, x: 2}", "key 'x' appears twice", 14),
    ("extra: {? [a] : 2}", "a key must be text", 10),
]


@pytest.mark.parametrize(("block", "message", "column"), WRONG)
def test_what_cloud_init_could_not_read_has_its_place(block: str, message: str, column: int, tmp_path: Path) -> None:
    text = f"vms:\n  a:\n    source: {CLOUD}\n    cloud_init:\n      {block}\n"
    error = one(errors_of(tmp_path, text))
    assert message in error.message
    assert error.hint
    assert place(error) == ("vms.yml", 5, 7 + column)


def test_keys_of_two_types_are_two_keys(tmp_path: Path) -> None:
    text = "{1: a, '1': b, no: c, 'no': d, !!binary '': e, '': f}"
    made = seed(tmp_path, f"extra: {{x: {text}, y: &y {{<<: {{no: 1}}, 'no': 2}}, z: {{<<: *y}}}}")
    found = yaml.safe_load(made["user-data"])
    assert found["x"] == yaml.safe_load(text)
    assert found["y"] == found["z"] == {False: 1, "no": 2}
    error = one(
        errors_of(tmp_path, f"vms:\n  a:\n    source: {CLOUD}\n    cloud_init: {{extra: 'x: {{a: 1, a: 2}}'}}\n")
    )
    assert "key 'a' appears twice" in error.message
    assert place(error) == ("vms.yml", 4, 36)


def test_tags_are_for_cloud_init_only(tmp_path: Path) -> None:
    text = f"vms: {{a: {{source: {CLOUD}, cloud_init: {{extra: {{x: &x !!binary aGk=}}, hostname: *x}}}}}}"
    assert "tag !!binary is not supported" in one(errors_of(tmp_path, text)).message


HEADERS = [
    ("## template: jinja\n#cloud-config\na: {{ v1.x }}", "## template: jinja"),
    ("#!/bin/sh\necho", "#!"),
    ("#cloud-boothook\necho", "#cloud-boothook"),
    ("\n#Include\nhttp://x/", "#Include"),
    ("#include-once\nhttp://x/", "#include"),
    ("#cloud-config-archive\n- a", "#cloud-config-archive"),
    ("#part-handler\n", "#part-handler"),
    ("Content-Type: multipart/mixed; boundary=x\nMIME-Version: 1.0\n", "Content-Type:"),
]


@pytest.mark.parametrize(("text", "header"), HEADERS)
def test_user_data_of_another_kind_is_refused_by_its_name(text: str, header: str, tmp_path: Path) -> None:
    block = "extra: |\n        " + text.replace("\n", "\n        ")
    error = one(errors_of(tmp_path, f"vms:\n  a:\n    source: {CLOUD}\n    cloud_init:\n      {block}\n"))
    assert f"begins with '{header}'" in error.message
    assert error.hint
    assert place(error) == ("vms.yml", 7 if text.startswith("\n") else 6, 9)


def test_comments_in_the_text_are_no_headers(tmp_path: Path) -> None:
    for head in ("# a comment", "#cloud-config  ", "#cloud-config\n# x"):
        made = seed(tmp_path, "extra: |\n  " + indented(f"{head}\na: 1"))
        assert yaml.safe_load(made["user-data"])["a"] == 1


_scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**25), 10**25)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=6)
    | st.dates()
    | st.datetimes()
    | st.sampled_from(["no", "<<", "=", "\0", "\0map", "12:30", "0644"])
)
_values = st.recursive(
    _scalars,
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(_scalars, below, max_size=3)
        | st.sets(st.integers() | st.text(max_size=3), max_size=3)
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(_values)
def test_encoding_is_json_and_loses_nothing(value: Any) -> None:
    encoded: Any = encode(value)
    for copy in (json.loads(json.dumps(plain(encoded))), marshal.loads(marshal.dumps(encoded))):
        assert same(decode(copy), value)


_plain = st.text(alphabet="0123456789_:.-+eExobaAfFnNyYsSoOuUtTlL~ ", min_size=1, max_size=12)


@settings(deadline=None, max_examples=150)
@given(
    _plain | st.sampled_from(WORDS.split()), st.sampled_from(["%s", "'%s'", '"%s"', "!!str %s", "[%s, %s]", "{%s: %s}"])
)
def test_any_scalar_means_to_cloud_init_what_it_would_mean_in_a_file(word: str, form: str) -> None:
    text = f"extra: {{x: {form.replace('%s', word)}}}"
    try:
        expected = yaml.safe_load(text)["extra"]
    except (yaml.YAMLError, ValueError, OverflowError):
        expected = None
    if expected is None or set(expected) != {"x"}:
        return
    # read as a whole: what begins with a special sign may be another text in a file
    try:
        (document,) = parse_yaml(f"vms: {{a: {{cloud_init: {{{text}}}}}}}".encode(), "f")
    except InputError as e:
        assert "not YAML" in e.message  # libyaml is a bit stricter
        return
    try:
        found = document.written.passed("vms", "a", "cloud_init", "extra")
    except InputError as e:
        assert "appears twice" in e.message
        return
    assert same(decode(found), expected)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=st.dictionaries(st.text(min_size=1, max_size=5), _values, max_size=3))
def test_what_pyyaml_writes_reaches_the_seed(value: dict[str, Any], tmp_path: Path) -> None:
    text = yaml.safe_dump({"x": value})
    made = seed(tmp_path, "extra:\n  " + text.replace("\n", "\n  "))
    assert same(yaml.safe_load(made["user-data"])["x"], yaml.safe_load(text)["x"])


def test_wrong_values_never_are_tracebacks(tmp_path: Path) -> None:
    for text in ("!!timestamp x", "!!float x", "!!int ''", "!!binary '%'", "!!omap [1]", "!!set [1]", "0b_", "1:99"):
        try:
            seed(tmp_path, f"extra: {{x: {text}}}")
        except InputError as e:
            assert "vms.yml:6:" in str(e), text
