"""``image.yml``: where images are declared, what they may say, and which one a bootc VM is made from."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from ovtasks.errors import InputError, Where
from ovtasks.project.images import image_of, near_names, reference_error
from ovtasks.project.load import check, load_project, unknown_image
from ovtasks.project.model import ImageSpec, Pull
from tests.support.projects import errors_of, one, place, write

HEX = "0123456789abcdef" * 4


def image_in(folder: Path, fields: str) -> ImageSpec:
    """Image ``a`` with these fields (in flow style)."""
    write(folder, "vms: {}")
    write(folder, f"images: {{a: {{{fields}}}}}", "image.yml")
    return load_project(folder, cache=False).images["a"]


def image_error(folder: Path, fields: str) -> InputError:
    """The only error of image ``a``, whose fields begin at line 2, column 7."""
    write(folder, "vms: {}")
    return one(errors_of(folder, f"images:\n  a: {{{fields}}}\n", "image.yml"))


def bootc(image: str, name: str = "v") -> str:
    return f"vms: {{{name}: {{source: {{kind: bootc, image: {image!r}}}, disk_size: 10G}}}}"


def test_a_reference(tmp_path: Path) -> None:
    made = image_in(tmp_path, "ref: quay.io/fedora/fedora-bootc:42")
    assert made == ImageSpec("a", Where(str(tmp_path / "image.yml"), 1, 10), ref="quay.io/fedora/fedora-bootc:42")
    assert (made.context, made.pull, made.tls_verify, made.bootc) == (None, Pull.MISSING, True, None)


def test_a_containerfile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = image_in(tmp_path, "containerfile: x/Containerfile")
    assert (made.ref, made.context, made.containerfile) == (None, tmp_path, tmp_path / "x" / "Containerfile")
    made = image_in(tmp_path, "context: x/../y")
    assert (made.context, made.containerfile) == (tmp_path / "y", None)
    monkeypatch.setenv("WHERE", "/srv")
    assert image_in(tmp_path, "context: '${WHERE}/x'").context == Path("/srv/x")


def test_every_field_arrives(tmp_path: Path) -> None:
    built = image_in(
        tmp_path,
        "containerfile: c, context: d, build_args: {A: 1.10, B: yes}, target: final, bootc: yes, pull: newer, "
        "tls_verify: no",
    )
    assert built.build_args == {"A": "1.10", "B": "yes"}
    assert (built.target, built.bootc, built.pull, built.tls_verify) == ("final", True, Pull.NEWER, False)
    layered = image_in(tmp_path, "base: localhost/x, layers: [b, c], user: u, skip_incompatible: yes")
    assert (layered.base, layered.layers, layered.user) == ("localhost/x", ("b", "c"), "u")
    named = image_in(tmp_path, "ref: localhost/x")
    fields = {f.name for f in dataclasses.fields(ImageSpec)}
    same = {name for name in fields if getattr(built, name) == getattr(layered, name) == getattr(named, name)}
    assert same == {"name", "where"}


@pytest.mark.parametrize(
    ("files", "names"),
    [
        ({"image.yml": "images: {a: {ref: localhost/a}}\nimage: {b: {ref: localhost/b}}"}, ["a", "b"]),
        ({"images.yml": "image: {name: a, ref: localhost/a}\n---\nimage: {name: b, ref: localhost/b}"}, ["a", "b"]),
        ({"image.yml": "image: {name: {ref: localhost/a}}"}, ["name"]),
        ({"overthink.yml": "images: {a: {ref: localhost/a}}", "image.yml": "image: {b: {context: .}}"}, ["a", "b"]),
        ({"overthink.yml": "includes: ['*/image.yml']", "x/image.yml": "images: {a: {ref: localhost/a}}"}, ["a"]),
        ({"image.yml": "images:\n"}, []),
    ],
)
def test_where_images_are_declared(tmp_path: Path, files: dict[str, str], names: list[str]) -> None:
    write(tmp_path, "vms: {}")
    for name, text in files.items():
        write(tmp_path, text, name)
    project = load_project(tmp_path, cache=False)
    assert [*project.images] == names
    assert {tmp_path / name for name in files} < {*project.files}


def test_paths_start_at_the_declaring_file(tmp_path: Path) -> None:
    write(tmp_path, "includes: ['*/image.yml']", "overthink.yml")
    write(tmp_path, "images: {a: {context: .}, b: {context: files, containerfile: Other}}", "x/image.yml")
    images = load_project(tmp_path, cache=False).images
    assert images["a"].context == tmp_path / "x"
    assert (images["b"].context, images["b"].containerfile) == (tmp_path / "x" / "files", tmp_path / "x" / "Other")


def test_images_come_from_the_cache_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "vms: {}")
    path = write(tmp_path, "images: {a: {ref: localhost/a}}", "image.yml")
    first = load_project(tmp_path).images["a"]
    with monkeypatch.context() as patch:
        patch.setattr("ovtasks.project.load.check", lambda *_, **__: pytest.fail("the files were read again"))
        assert load_project(tmp_path).images["a"] == first
    path.write_text("images: {b: {ref: localhost/a}}")
    assert [*load_project(tmp_path).images] == ["b"]


# fields of image a, message, hint, column
ERRORS = [
    ("reff: localhost/a, ref: localhost/b", "unknown key 'reff' in images.a", "did you mean 'ref'?", 7),
    ("dockerfile: x, context: .", "unknown key 'dockerfile'", "did you mean 'containerfile'?", 7),
    ("args: {}, context: .", "unknown key 'args'", "did you mean 'build_args'?", 7),
    ("layers: [], context: .", "'layers' needs base", "a reference", 7),
    ("base: b", "base: no image 'b' is declared", "declared are a", 13),
    ("base: localhost/b, target: c", "'target' contradicts base", "remove one", 26),
    ("base: localhost/b, layers: [], layer: []", "layers of image 'a' stand there twice", "layers:", 38),
    ("base: localhost/b, layers: x", "images.a.layers must be a list", None, 34),
    ("base: localhost/b, user: A b", "'A b' is not a valid account name", None, 32),
    ("ref: localhost/b, layers: []", "'layers' contradicts ref", "remove one", 25),
    ("", "image 'a' has neither ref nor containerfile nor base", "quay.io", 3),
    ("bootc: true", "image 'a' has neither ref nor containerfile nor base", "quay.io", 3),
    ("ref: localhost/a, containerfile: c", "'containerfile' contradicts ref in image 'a'", "remove one", 25),
    ("ref: localhost/a, context: c", "'context' contradicts ref", None, 25),
    ("ref: localhost/a, build_args: {A: b}", "'build_args' contradicts ref", None, 25),
    ("ref: localhost/a, target: c", "'target' contradicts ref", None, 25),
    ("ref: a", "ref 'a': no registry is named", "docker.io/library/a", 12),
    ("ref: [a]", "images.a.ref must be text, not a list", "full reference", 12),
    ("context: '${NO_SUCH}'", "context: environment variable NO_SUCH is not set", "export", 16),
    ("containerfile: ~joe/x", "containerfile: ~joe is not expanded", None, 22),
    ("context: ., pull: sometimes", "must be one of missing, always, never, newer, not 'sometimes'", None, 25),
    ("context: ., bootc: perhaps", "images.a.bootc must be true or false", "label", 26),
    ("context: ., build_args: {A B: c}", "'A B' is not a valid build argument name", "letters", 32),
    ("context: ., build_args: {A: [c]}", "images.a.build_args.A must be text, not a list", None, 35),
    ("context: ., target: 'a b'", "'a b' is not a valid stage name", "final", 27),
    ("context: ''", "images.a.context must not be empty", None, 16),
]


@pytest.mark.parametrize(("fields", "message", "hint", "column"), ERRORS)
def test_errors(tmp_path: Path, fields: str, message: str, hint: str | None, column: int) -> None:
    error = image_error(tmp_path, fields)
    assert message in error.message
    assert hint is None or hint in (error.hint or "")
    assert place(error) == ("image.yml", 2, column)


@pytest.mark.parametrize("name", ["A", "a b", "a--", "a/b", "-a", "a..b", "a:b", "x" * 61, "''"])
def test_names_that_are_none(tmp_path: Path, name: str) -> None:
    write(tmp_path, "vms: {}")
    error = one(errors_of(tmp_path, f"images:\n  ? {name}\n  : {{ref: localhost/a}}\n", "image.yml"))
    assert "is not an image name" in error.message and place(error) == ("image.yml", 2, 5)
    error = one(errors_of(tmp_path, f"image:\n  name: {name}\n  ref: localhost/a\n", "image.yml"))
    assert "is not an image name" in error.message and place(error) == ("image.yml", 2, 9)


def test_names_that_are_good(tmp_path: Path) -> None:
    write(tmp_path, "vms: {}")
    write(tmp_path, "images: {a: &x {ref: localhost/a}, 1a: *x, a.b: *x, a_b: *x, a__b: *x, a---b: *x}", "image.yml")
    assert check((), tmp_path).errors == ()


def test_twice_and_nothing(tmp_path: Path) -> None:
    write(tmp_path, "vms: {}")
    error = one(errors_of(tmp_path, "images: {a: {context: .}}\nimage:\n  a: {context: .}\n", "image.yml"))
    assert error.message == "image 'a' is defined twice" and place(error) == ("image.yml", 3, 3)
    assert "image.yml:1:10" in (error.hint or "")
    error = one(errors_of(tmp_path, "images:\n  a:\n", "image.yml"))
    assert error.message == "image 'a' declares nothing" and "ref:" in (error.hint or "")
    assert "images: {" in (one(errors_of(tmp_path, "", "image.yml")).hint or "")


def test_kinds_in_the_wrong_file(tmp_path: Path) -> None:
    error = one(errors_of(tmp_path, "images: {a: {context: .}}"))
    assert "unknown key 'images'" in error.message and "image.yml" in (error.hint or "")
    write(tmp_path, "vms: {}")
    error = one(errors_of(tmp_path, "vms: {a: {}}", "image.yml"))
    assert "unknown key 'vms'" in error.message and "vms.yml" in (error.hint or "")


@pytest.mark.parametrize(
    "text",
    [
        "localhost/a",
        "quay.io/fedora/fedora-bootc:42",
        f"quay.io/a/b@sha256:{HEX}",
        f"quay.io/a/b:tag@sha256:{HEX}",
        "127.0.0.1:5000/a/b:v1.0-x_y",
        "[::1]:5000/a",
        "registry:5000/a",
        "Registry.Example.org/a__b/c-d.e",
    ],
)
def test_references(text: str) -> None:
    assert reference_error(text) is None


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("fedora", "no registry is named", "docker.io/library/fedora, quay.io/fedora or localhost/fedora?"),
        ("fedora/fedora-bootc:42", "no registry is named", "docker.io/fedora/fedora-bootc:42"),
        ("docker://quay.io/a", "a reference has no transport", "leave docker:// out"),
        ("quay.io/a@sha256:abc", "'sha256:abc' is not a digest", "64 hex digits"),
        ("quay.io/A/b", "the name holds capital letters", "lower case"),
        ("quay.io/a:", "it is not an image reference", "for example"),
        ("quay.io/a:-x", "it is not an image reference", None),
        ("quay.io/a b", "it is not an image reference", None),
        ("quay.io/a/", "it is not an image reference", None),
        ("quay.io/a\n", "it is not an image reference", None),
        (f"quay.io/a:{'x' * 129}", "it is not an image reference", None),
    ],
)
def test_what_is_no_reference(text: str, message: str, hint: str | None) -> None:
    problem = reference_error(text)
    assert problem is not None and problem[0] == message
    assert hint is None or hint in problem[1]


def test_a_reference_is_kept_in_one_form(tmp_path: Path) -> None:
    assert image_in(tmp_path, "ref: localhost/a").ref == "localhost/a:latest"
    assert image_in(tmp_path, "ref: 'registry:5000/a'").ref == "registry:5000/a:latest"
    assert image_in(tmp_path, f"ref: 'quay.io/a:1@sha256:{HEX}'").ref == f"quay.io/a@sha256:{HEX}"


def test_the_image_of_a_vm(tmp_path: Path) -> None:
    write(tmp_path, "images: {desktop: {ref: localhost/d, bootc: true}}", "image.yml")
    write(tmp_path, bootc("desktop"))
    project = load_project(tmp_path, cache=False)
    assert image_of(project.vms["v"], project) is project.images["desktop"]
    write(tmp_path, bootc("quay.io/fedora/fedora-bootc"))
    project = load_project(tmp_path, cache=False)
    vm = project.vms["v"]
    reference = "quay.io/fedora/fedora-bootc"
    assert image_of(vm, project) == ImageSpec(reference, vm.where, ref=f"{reference}:latest")


@pytest.mark.parametrize(
    ("image", "message", "hint"),
    [
        ("desktpo", "source.image: no image 'desktpo' is declared", "did you mean 'desktop'?"),
        ("zzz", "source.image: no image 'zzz' is declared", "declared are desktop"),
        ("a/b", "source.image 'a/b': no registry is named", "quay.io/a/b"),
        ("b:1", "source.image 'b:1': no registry is named", "docker.io/library/b:1"),
    ],
)
def test_a_vm_without_an_image(tmp_path: Path, image: str, message: str, hint: str) -> None:
    write(tmp_path, "images: {desktop: {ref: localhost/d}}", "image.yml")
    write(tmp_path, bootc(image))
    project = load_project(tmp_path, cache=False)  # other VMs can be built
    with pytest.raises(InputError) as caught:
        image_of(project.vms["v"], project)
    assert caught.value.message == message and hint in (caught.value.hint or "")
    assert place(caught.value) == ("vms.yml", 1, 7)


def test_without_any_images(tmp_path: Path) -> None:
    write(tmp_path, bootc("desktop"))
    project = load_project(tmp_path, cache=False)
    with pytest.raises(InputError, match="no image 'desktop'") as caught:
        image_of(project.vms["v"], project)
    assert "image.yml" in (caught.value.hint or "")
    assert "declares no images" in (unknown_image("x", project).hint or "")
    assert "and 2 more" in (near_names("zzzzz", dict.fromkeys(map(str, range(10)))) or "")


def test_a_bootc_vm_wants_a_bootc_image(tmp_path: Path) -> None:
    write(tmp_path, bootc("tools"))
    error = one(errors_of(tmp_path, "images: {tools: {ref: localhost/t, bootc: false}}", "image.yml"))
    assert error.message == "source.image tools is not a bootc image"
    assert place(error) == ("vms.yml", 1, 40) and "image.yml:1:" in (error.hint or "")
    write(tmp_path, bootc("tools").replace("image: 'tools'", "image: tools, transport: oci"))  # a folder's name
    assert check((), tmp_path).errors == ()


def test_an_image_and_a_vm_of_the_same_name(tmp_path: Path) -> None:
    image = "images: {v: {ref: localhost/t}, w: {ref: localhost/w}}"
    write(tmp_path, bootc("v"))
    assert errors_of(tmp_path, image, "image.yml") == []
    write(tmp_path, bootc("w"))
    error = one(errors_of(tmp_path, image, "image.yml"))
    assert error.message == "image 'v' has the name of a VM that is made from another image"
    assert place(error) == ("image.yml", 1, 10) and "vms.yml:1:7" in (error.hint or "")
