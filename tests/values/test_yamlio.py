"""YAML: what scalars mean, where things stand, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ovtasks.errors import InputError
from ovtasks.host.yamlfile import read_yaml
from ovtasks.values import yamlio
from ovtasks.values.jsonvalue import Json
from ovtasks.values.yamlio import Document, parse_yaml
from tests.support.projects import place


def parse(text: str | bytes) -> Document:
    (document,) = parse_yaml(text if isinstance(text, bytes) else text.encode(), "f.yml")
    return document


def error(text: str | bytes) -> InputError:
    with pytest.raises(InputError) as caught:
        parse_yaml(text if isinstance(text, bytes) else text.encode(), "f.yml")
    return caught.value


@pytest.fixture(params=["libyaml", "python"], autouse=True)
def both_loaders(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyYAML is often installed without libyaml: both must do the same."""
    if request.param == "libyaml":
        assert yaml.__with_libyaml__, "install PyYAML with libyaml (the wheel has it)"
    else:
        monkeypatch.delattr(yaml, "CSafeLoader")


SCALARS = [
    ("true", True),
    ("False", False),
    ("TRUE", True),
    ("yes", "yes"),
    ("No", "No"),
    ("on", "on"),
    ("OFF", "OFF"),
    ("y", "y"),
    ("null", None),
    ("~", None),
    ("", None),
    ("nil", "nil"),
    ("12", 12),
    ("-12", -12),
    ("+5", 5),
    ("0", 0),
    ("0644", "0644"),
    ("00", "00"),
    ("0o17", "0o17"),
    ("0x1F", "0x1F"),
    ("0b11", "0b11"),
    ("1_000", "1_000"),
    ("22:22", "22:22"),
    ("190:20:30", "190:20:30"),
    ("8080:80", "8080:80"),
    ("1.5", 1.5),
    ("1e3", "1e3"),
    ("1.5e3", "1.5e3"),
    ("-0.5", -0.5),
    ("1e999", "1e999"),
    (".inf", ".inf"),
    (".nan", ".nan"),
    ("1.", "1."),
    ("2024-01-01", "2024-01-01"),
    ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
    ("=", "="),
    ("52:54:00:12:34:56", "52:54:00:12:34:56"),
    ("123456789012345678", 123456789012345678),
    ("9" * 5000, "9" * 5000),
    ("'12'", "12"),
    ('"true"', "true"),
    ("!!str 12", "12"),
    ("!!int '12'", 12),
    ("!!bool true", True),
    ("|-\n  12", "12"),
    ("20G", "20G"),
    ("10 GiB", "10 GiB"),
]


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_scalars_mean_what_they_look_like(text: str, value: Json) -> None:
    data = parse(f"a: {text}\n").data
    assert data == {"a": value}
    assert isinstance(data, dict)
    assert type(data["a"]) is type(value)


def test_keys_are_always_text() -> None:
    assert parse("1: a\nno: b\nnull: c\ntrue: d\n0644: e\n2024-01-01: f\n").data == {
        "1": "a",
        "no": "b",
        "null": "c",
        "true": "d",
        "0644": "e",
        "2024-01-01": "f",
    }


def test_positions_of_keys_and_values_count_from_one() -> None:
    document = parse("a:\n  b: [x, {c: d}]\n# é\n  é: 1\n")
    assert str(document.where("a", key=True)) == "f.yml:1:1"
    assert str(document.where("a", "b", key=True)) == "f.yml:2:3"
    assert str(document.where("a", "b")) == "f.yml:2:6"
    assert str(document.where("a", "b", 1, "c", key=True)) == "f.yml:2:11"
    assert str(document.where("a", "b", 1, "c")) == "f.yml:2:14"
    assert str(document.where("a", "é")) == "f.yml:4:6"
    assert str(document.where("a", "b", 7, "nothing")) == "f.yml:2:6"  # the nearest thing around it
    assert document.raw("a", "é") == "1"
    assert document.raw("a", "b") is None


def test_byte_order_mark_and_crlf() -> None:
    document = parse(b"\xef\xbb\xbfa: 1\r\nb:\r\n  - 2\r\n")
    assert document.data == {"a": 1, "b": [2]}
    assert str(document.where("b", 0)) == "f.yml:3:5"


def test_several_documents_and_none() -> None:
    documents = parse_yaml(b"a: 1\n---\nb: 2\n---\n# nothing\n---\n[3]\n", "f.yml")
    assert [document.data for document in documents] == [{"a": 1}, {"b": 2}, [3]]
    assert str(documents[1].where("b")) == "f.yml:3:4"
    assert parse_yaml(b"", "f.yml") == []
    assert parse_yaml(b"# only a comment\n\n", "f.yml") == []


def test_anchors_merges_and_who_wins() -> None:
    document = parse("x: &x {a: 1, b: 2}\ny: &y {b: 3, c: 4}\nz:\n  <<: [*x, *y]\n  c: 5\n'<<': {q: 1}\n")
    assert document.data == {
        "x": {"a": 1, "b": 2},
        "y": {"b": 3, "c": 4},
        "z": {"c": 5, "a": 1, "b": 2},
        "<<": {"q": 1},
    }
    assert str(document.where("z", "a")) == "f.yml:1:11"  # where it was written
    assert str(document.where("z", "c")) == "f.yml:5:6"
    assert parse("a: &n [1]\nb: *n\n").data == {"a": [1], "b": [1]}
    assert parse("a: &n 5\nb: *n\n").data == {"a": 5, "b": 5}


BAD = [
    ("a: 1\nb: 2\na: 3\n", 3, 1, "key 'a' appears twice", "first at f.yml:1:1"),
    ("a: {b: 1, b: 2}", 1, 11, "key 'b' appears twice", "first at f.yml:1:5"),
    ("a: 1\n'a': 2", 2, 1, "twice", "f.yml:1:1"),
    ("a: [1, 2", 1, 0, "not YAML", None),
    ("a: {b: 1", 1, 0, "not YAML", None),
    ("a: 'x", 1, 0, "not YAML", None),
    ("a:\n\tb: 1\n", 2, 1, "not YAML", "spaces"),
    ("a: b: c", 1, 5, "not YAML", "quotes"),
    ("a: @x", 1, 4, "not YAML", "quotes"),
    ("a: `x`", 1, 4, "not YAML", "quotes"),
    ("a: *nope", 1, 4, "*nope", "&nope"),
    ("a: &x [1, *x]", 1, 11, "inside its own anchor", None),
    ("a: &x {<<: *x}", 1, 12, "inside its own anchor", None),
    ("a: {<<: 5}", 1, 5, "<<: needs a mapping", "<<: *anchor"),
    ("a: {<<: [{b: 1}, 2]}", 1, 5, "<<: needs a mapping", "<<: *anchor"),
    ("? [a, b]\n: c", 1, 3, "a key must be text", "quote"),
    ("? {a: b}\n: c", 1, 3, "a key must be text", "quote"),
    ("a: &k x\n*k : c", 2, 1, "a key must be text", "quote"),
    ("a: !!binary aGk=", 1, 4, "tag !!binary is not supported", "plain"),
    ("a: !!set {b, c}", 1, 4, "tag !!set is not supported", "plain"),
    ("a: !!python/object/apply:os.system [ls]", 1, 4, "is not supported", "plain"),
    ("a: !Ref x", 1, 4, "tag !Ref is not supported", "plain"),
    ("a: !!int x", 1, 4, "'x' is not of type int", None),
    ("a: !!bool 1", 1, 4, "'1' is not of type bool", None),
    ("[" * 5000, 1, 0, "nested more than 64", None),
    ("a: " + "{b: " * 100_000, 1, 256, "nested more than 64", None),
    ("a: b\x07c", 1, 5, "U+0007", "text file"),
    ("é: x\na: \x00", 2, 4, "U+0000", "text file"),
    (b"a: 1\nb: \xff", 2, 4, "0xff is not UTF-8", "UTF-8"),
    (b"\xff\xfea\x00:\x00", 1, 1, "UTF-16", "UTF-8"),
    ("a: 1\n  b: 2\n", 2, 0, "not YAML", None),
    ("%YAML 9.9\n---\na: 1", 1, 0, "not YAML", None),
]


@pytest.mark.parametrize(("text", "line", "column", "message", "hint"), BAD)
def test_what_is_wrong_says_where(text: str | bytes, line: int, column: int, message: str, hint: str | None) -> None:
    found = error(text)
    name, at_line, at_column = place(found)
    assert message in found.message
    assert name == "f.yml"
    if column:  # the two parsers of PyYAML blame slightly different places where 0 stands here
        assert (at_line, at_column) == (line, column)
    if hint is not None:
        assert hint in (found.hint or "")


def test_alias_bombs_are_refused_at_once() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    assert "more than 1,000,000 values" in error("\n".join(lines)).message


def test_merge_bombs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yamlio, "MAX_NODES", 1000)
    keys = ", ".join(f"k{i}: 1" for i in range(100))
    text = f"a: &a {{{keys}}}\nb: [" + ", ".join(["{<<: *a}"] * 20) + "]"
    assert "more than 1,000 values" in error(text).message


def test_files_over_the_limit_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert yamlio.MAX_BYTES == 16 << 20
    monkeypatch.setattr(yamlio, "MAX_BYTES", 100)
    path = tmp_path / "big.yml"
    path.write_text("# " + "x" * 99)
    with pytest.raises(InputError, match="larger than 16 MiB") as caught:
        read_yaml(path, "big.yml")
    assert "includes" in (caught.value.hint or "")
    path.write_text("a: 1 #" + "x" * 94)
    assert read_yaml(path, "big.yml")[0].data == {"a": 1}


def test_unreadable_files_say_why(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the file: Is a directory") as caught:
        read_yaml(tmp_path, "folder.yml")
    assert str(caught.value.where) == "folder.yml"


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_bytes_are_documents_or_an_input_error(data: bytes) -> None:
    try:
        parse_yaml(data, "f.yml")
    except InputError as e:
        assert e.where is not None


@settings(deadline=None)
@given(st.text(alphabet="ab:-[]{}&*!|>'\"%@?,#\n\t <0.1~", max_size=40))
def test_yaml_like_text_is_documents_or_an_input_error(text: str) -> None:
    try:
        parse_yaml(text.encode(), "f.yml")
    except InputError as e:
        assert e.where is not None


_json = st.recursive(
    st.none() | st.booleans() | st.integers(1 - 10**18, 10**18 - 1) | st.text(),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(), below, max_size=4),
    max_leaves=15,
)


@settings(deadline=None)
@given(st.dictionaries(st.text(), _json, min_size=1, max_size=5))
def test_what_pyyaml_writes_is_read_back(data: dict[str, Json]) -> None:
    assert parse(yaml.safe_dump(data, allow_unicode=False)).data == data
