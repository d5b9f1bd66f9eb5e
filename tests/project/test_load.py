"""Projects: roots, includes, merging, laziness, unknown VMs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ovtasks.errors import EXIT_INPUT, InputError, InputErrors
from ovtasks.project.load import check, find_root, load_project, unknown_vm
from ovtasks.project.model import Project
from tests.support.projects import CLOUD, errors_of, one, place, write

A, B, C = (f"vms: {{{name}: {{source: {CLOUD}}}}}\n" for name in "abc")


def load(root: Path) -> Project:
    return load_project(root, cache=False)


@pytest.mark.parametrize("name", ["vms.yml", "vm.yml", "overthink.yml"])
def test_root_is_found_from_below(tmp_path: Path, name: str) -> None:
    write(tmp_path, A, name)
    below = tmp_path / "x" / "y"
    below.mkdir(parents=True)
    assert find_root(below) == tmp_path.resolve()
    assert find_root(tmp_path) == tmp_path.resolve()


@pytest.mark.parametrize("name", ["deploy.yml", "image.yml", "images.yml"])
def test_a_project_may_have_images_or_deployments_alone(tmp_path: Path, name: str) -> None:
    write(tmp_path, A, "vms.yml")
    below = tmp_path / "below"
    write(below, A.replace("vms:", "vm:") if name == "deploy.yml" else "images: {}\n", name)
    assert find_root(below) == tmp_path.resolve(), "a folder with VMs comes first"
    (tmp_path / "vms.yml").unlink()
    assert find_root(below) == below.resolve()
    assert [*load(below).vms] == (["a"] if name == "deploy.yml" else [])


def test_no_root_says_how_to_begin(tmp_path: Path) -> None:
    (tmp_path / "vms.yml").mkdir()  # a folder of that name is none
    with pytest.raises(InputError, match=r"no vms\.yml in") as caught:
        find_root(tmp_path)
    assert "-C" in (caught.value.hint or "")
    assert caught.value.exit_code == EXIT_INPUT


@pytest.mark.parametrize("kind", ["folder", "pipe", "dangling link"])
def test_a_project_file_that_is_no_file_is_named(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "vms.yml"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("nothing")
    (tmp_path / "below").mkdir()
    with pytest.raises(InputError, match=r"no vms\.yml in") as caught:
        find_root(tmp_path / "below")
    assert f"{path} is not a file" in (caught.value.hint or "")


def test_one_file(tmp_path: Path) -> None:
    write(tmp_path, A)
    project = load(tmp_path)
    assert [*project.vms] == ["a"]
    root = tmp_path.resolve()
    assert project.root == root
    names = ("overthink.yml", "vms.yml", "vm.yml", "images.yml", "image.yml", "deploy.yml")
    assert project.files == tuple(root / name for name in names)
    assert project.output == root / "output"


@pytest.mark.parametrize(
    "text",
    [
        f"vm: {{a: {{source: {CLOUD}}}, b: {{source: {CLOUD}}}}}",
        f"vms: {{a: {{source: {CLOUD}}}}}\nvm: {{b: {{source: {CLOUD}}}}}",
        f"vm: {{name: a, source: {CLOUD}}}\n---\nvm:\n  name: b\n  source: {CLOUD}\n",
        f"vms:\n  a: &a\n    source: {CLOUD}\n  b:\n    <<: *a\n    ram: 2G\n",
        f"\ufeffvms:\r\n  a:\r\n    source: {CLOUD}\r\n  b:\r\n    source: {CLOUD}\r\n",
    ],
    ids=["vm", "both keys", "stream", "merge", "BOM and CRLF"],
)
def test_shapes(tmp_path: Path, text: str) -> None:
    write(tmp_path, text)
    assert [*load(tmp_path).vms] == ["a", "b"]


def test_a_vm_may_be_called_name(tmp_path: Path) -> None:
    write(tmp_path, f"vm: {{name: {{source: {CLOUD}}}}}")
    assert [*load(tmp_path).vms] == ["name"]


def test_includes(tmp_path: Path) -> None:
    write(
        tmp_path,
        "includes: [more/b.yml, 'parts/*.yml', 'layers/*/layer.yml']\nimage: {x: {ref: localhost/x}}\n",
        "overthink.yml",
    )
    write(tmp_path, f"includes: ../c.yml\n{B}", "more/b.yml")
    write(tmp_path, C, "c.yml")
    write(tmp_path, A)
    write(tmp_path, f"vms: {{d: {{source: {CLOUD}}}}}", "parts/d.yml")
    write(tmp_path, f"vms: {{hidden: {{source: {CLOUD}}}}}", "parts/.h.yml")
    write(tmp_path, "not: {read", "layers/x/layer.yml")
    project = load(tmp_path)
    assert [*project.vms] == ["b", "c", "d", "a"]
    names = [str(path.relative_to(tmp_path)) if path.is_relative_to(tmp_path) else str(path) for path in project.files]
    assert {"more/b.yml", "parts", "layers", "parts/d.yml", "layers/x/layer.yml", "vm.yml"} <= {
        os.path.normpath(name) for name in names
    }


def test_other_kinds_are_not_read(tmp_path: Path) -> None:
    write(tmp_path, "includes: [layer.yml, deploy.yml]\nlayers: 5\ndeploy: {x: [1]}\n", "overthink.yml")
    write(tmp_path, "not: {read", "layer.yml")
    write(tmp_path, A)
    project = load(tmp_path)
    assert [*project.vms] == ["a"]
    assert tmp_path / "layer.yml" in project.files


def test_included_twice_is_read_once(tmp_path: Path) -> None:
    write(tmp_path, "includes: [vms.yml, ./vms.yml, '*.yml']", "overthink.yml")
    write(tmp_path, A)
    assert [*load(tmp_path).vms] == ["a"]


def test_a_project_without_vms(tmp_path: Path) -> None:
    write(tmp_path, "vms:\n")
    project = load(tmp_path)
    assert len(project.vms) == 0
    assert unknown_vm("x", project).hint == "the project declares no VMs"


def test_missing_include(tmp_path: Path) -> None:
    error = one(errors_of(tmp_path, "includes:\n  - gone.yml\n", "overthink.yml"))
    assert error.message == "included file gone.yml does not exist"
    assert place(error) == ("overthink.yml", 2, 5)
    assert "folder" in (error.hint or "")
    assert tmp_path / "gone.yml" in check((), tmp_path).files  # a watcher may see it appear


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("sub", "sub is a folder"),
        ("'**/x.yml'", "** is not supported"),
        ("''", "must not be empty"),
        ("5", "must be text, not 5"),
        ('"a\\0b"', "does not exist"),
        ("x" * 5000, "does not exist"),
    ],
)
def test_bad_includes(tmp_path: Path, item: str, message: str) -> None:
    (tmp_path / "sub").mkdir()
    error = one(errors_of(tmp_path, f"includes: [{item}]\n", "overthink.yml"))
    assert message in error.message
    assert place(error) == ("overthink.yml", 1, 12)


def test_cyclic_includes_name_the_circle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "includes: [b.yml]", "overthink.yml")
    write(tmp_path, "includes: [c.yml]", "b.yml")
    write(tmp_path, "includes: [b.yml]", "c.yml")
    error = one(list(check((), tmp_path).errors))
    assert error.message == "includes form a circle: b.yml → c.yml → b.yml"
    assert str(error.where) == "c.yml:1:12"
    write(tmp_path, "includes: [overthink.yml]", "overthink.yml")
    assert "overthink.yml → overthink.yml" in one(list(check((), tmp_path).errors)).message


def test_defined_twice_names_both_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "includes: [x.yml]", "overthink.yml")
    write(tmp_path, A, "x.yml")
    write(tmp_path, A)
    error = one(list(check((), tmp_path).errors))
    assert error.message == "VM 'a' is defined twice"
    assert str(error.where) == "vms.yml:1:7"
    assert "x.yml:1:7" in (error.hint or "")
    error = one(errors_of(tmp_path / "y", f"{A}vm: {{name: a, source: {CLOUD}}}"))
    assert "defined twice" in error.message


@pytest.mark.parametrize(
    ("text", "message", "hint", "line", "column"),
    [
        ("", "the file is empty", "vms: {demo", 1, 1),
        ("# later\n", "the file is empty", "vms: {demo", 1, 1),
        ("- a\n", "the top level must be a mapping, not a list", "vms: {demo", 1, 1),
        ("hello", "the top level must be a mapping, not a single value", "vms: {demo", 1, 1),
        ("vms: [a]", "vms must be a mapping, not a list", None, 1, 6),
        ("vm: x", "vm must be a mapping, not 'x'", None, 1, 5),
        ("vms: {a: 5}", "vms.a must be a mapping, not 5", None, 1, 10),
        ("vms: {a: }", "VM 'a' declares nothing", "for example", 1, 7),
        ("vmss: {}", "unknown key 'vmss' in the top level", "did you mean 'vms'?", 1, 1),
        ("deploy: {}", "unknown key 'deploy'", "known keys: defaults, includes, vm, vms", 1, 1),
        ("includes: {a: b}", "includes must be a list or text, not a mapping", None, 1, 11),
        ("a: }", "not YAML", None, 1, None),
    ],
)
def test_bad_files(tmp_path: Path, text: str, message: str, hint: str | None, line: int, column: int | None) -> None:
    error = one(errors_of(tmp_path, text))
    assert message in error.message
    assert hint is None or hint in (error.hint or "")
    name, at_line, at_column = place(error)
    assert (name, at_line, at_column if column else None) == ("vms.yml", line, column)


def test_a_folder_where_a_file_should_be(tmp_path: Path) -> None:
    write(tmp_path, A)
    (tmp_path / "overthink.yml").mkdir()
    assert one(list(check((), tmp_path).errors)).message == "cannot read the file: Is a directory"


def test_errors_of_all_files_come_together(tmp_path: Path) -> None:
    write(tmp_path, "includes: [x.yml, y.yml, gone.yml]\nbad: 1\n", "overthink.yml")
    write(tmp_path, "vms: {x: {source: {kind: zzz}}}", "x.yml")
    write(tmp_path, "a: {", "y.yml")
    write(tmp_path, f"vms: {{z: {{source: {CLOUD}, ram: 1x}}}}")
    with pytest.raises(InputErrors) as caught:
        load_project(tmp_path)
    assert [place(error)[0] for error in caught.value.errors] == [
        "overthink.yml",
        "overthink.yml",
        "x.yml",
        "y.yml",
        "vms.yml",
    ]
    assert caught.value.exit_code == EXIT_INPUT


def test_vms_are_built_when_asked_for(tmp_path: Path) -> None:
    write(tmp_path, f"vms: {{a: {{source: {CLOUD}}}, b: {{source: {CLOUD}}}}}")
    vms = load(tmp_path).vms
    assert "a" in vms
    assert "z" not in vms
    assert len(vms) == 2
    assert vms["a"] is vms["a"]
    assert vms.get("z") is None
    with pytest.raises(KeyError):
        vms["z"]


def test_places_are_relative_to_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "p", A)
    monkeypatch.chdir(tmp_path)
    assert str(load(tmp_path / "p").vms["a"].where) == "p/vms.yml:1:7"
    monkeypatch.chdir("/")
    assert load(tmp_path / "p").vms["a"].where.file.endswith("p/vms.yml")


def test_unknown_vm(tmp_path: Path) -> None:
    names = ["arch", "debian", "ubuntu", *(f"vm{i}" for i in range(9))]
    write(tmp_path, "vms: {" + ", ".join(f"{name}: {{source: {CLOUD}}}" for name in names) + "}")
    project = load(tmp_path)
    error = unknown_vm("arhc", project)
    assert error.message == f"no VM 'arhc' is declared in {tmp_path.resolve()}"
    assert error.hint == "did you mean 'arch'?"
    assert error.exit_code == EXIT_INPUT
    assert (unknown_vm("zzzzz", project).hint or "").endswith("vm4 and 4 more")
