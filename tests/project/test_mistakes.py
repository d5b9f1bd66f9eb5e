"""One VM's mistake is that VM's: whom each mistake spoils, and what still loads beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovtasks.errors import InputErrors
from ovtasks.project.load import load_project, unknown_image, unknown_vm
from ovtasks.project.mistakes import owners_in, raise_wrong, warnings
from ovtasks.project.model import Project
from tests.support.projects import CLOUD, write

GOOD = f"good: {{source: {CLOUD}}}"


def tolerant(folder: Path) -> Project:
    return load_project(folder, cache=False, tolerant=True)


MISTAKES = {
    "an unknown key": f"bad: {{source: {CLOUD}, disksize: 2G}}",
    "a wrong value": f"bad: {{source: {CLOUD}, ram: 1x}}",
    "two names of one key": f"bad: {{source: {CLOUD}, cpu: 1, cpus: 2}}",
    "a fault in the block": f"bad: {{source: {CLOUD}, libvirt: {{devices: {{channels: [{{}}]}}}}}}",
    "wrong XML": f"bad: {{source: {CLOUD}, libvirt: {{snippets: ['<a']}}}}",
    "a rule": f"bad: {{source: {CLOUD}, firmware: bios, machine: virt}}",
    "a port that good has": f"bad: {{source: {CLOUD}, network: {{port_forwards: ['81:80', '81:81']}}}}",
    "no image": "bad: {source: {kind: bootc, image: base}}",
    "nothing": "bad:",
    "a key twice": f"bad: {{source: {CLOUD}, ram: 1G, ram: 2G}}",
    "a key twice, deep": f"bad: {{source: {CLOUD}, libvirt: {{features: {{acpi: true, acpi: false}}}}}}",
    "an alias in its own anchor": f"bad: &b {{source: {CLOUD}, libvirt: {{devices: *b}}}}",
    "nothing but a loop": "bad: &b [*b]",
    "an alias of nothing": f"bad: {{source: {CLOUD}, ssh: *gone}}",
    "nothing but an alias of nothing": "bad: *gone",
    "a merge of a number": f"bad: {{<<: 3, source: {CLOUD}}}",
    "a merge of a list of words": "bad: {<<: [a, b]}",
    "a tag": f"bad: !mine {{source: {CLOUD}}}",
    "a tag of Python": "bad: !!python/object/apply:os.system [id]",
    "a number that is none": f"bad: {{source: {CLOUD}, cpus: !!int two}}",
    "a key that is a list": f"bad: {{source: {CLOUD}, [a, b]: 1}}",
    "a key that is a mapping": f"bad: {{source: {CLOUD}, ? {{a: b}} : {{c: d}}}}",
    "a key that is an alias": f"bad: {{source: &s {CLOUD}, ? *s : 1}}",
}


@pytest.mark.parametrize("text", MISTAKES.values(), ids=[*MISTAKES])
def test_others_load_beside_it(tmp_path: Path, text: str) -> None:
    write(tmp_path, f"vms:\n  {GOOD}\n  {text}\n")
    write(tmp_path, "image: {base: {from: 'builder:pacstrap'}}", "image.yml")
    with pytest.raises(InputErrors) as strict:
        load_project(tmp_path, cache=False)
    project = tolerant(tmp_path)
    assert [*project.vms] == ["good"]
    assert [*map(str, project.mistakes)] == [*map(str, strict.value.errors)]
    assert warnings(project) == [f"warning: {error}" for error in strict.value.errors]
    raise_wrong(project, owners_in(["good", "build:good"]))
    for word in ("bad", "build:bad", "disk:bad:raw", "vm:bad/dev"):
        with pytest.raises(InputErrors):
            raise_wrong(project, owners_in([word]))
    assert str(unknown_vm("bad", project)) == str(project.wrong["bad"][0])


def test_what_spoils_everything_still_does(tmp_path: Path) -> None:
    for text in (f"vms: {{{GOOD}}}\nvns: {{}}", "vms: [", f"vms: {{{GOOD}}}\nincludes: gone.yml"):
        write(tmp_path, text)
        with pytest.raises(InputErrors):
            tolerant(tmp_path)


def test_a_deployment_spoils_its_own_vm(tmp_path: Path) -> None:
    write(tmp_path, f"vms: {{{GOOD}, web: {{source: {CLOUD}}}, db: {{source: {CLOUD}}}}}")
    text = "deploy: {good-vm: {target: vm}, web-vm: {target: vm, add_layers: [gone]}, db-vm: {target: vm, zzz: 1},"
    write(tmp_path, text + " lost: {target: vm, vm: nobody}}", "deploy.yml")
    project = tolerant(tmp_path)
    assert ([*project.vms], [*project.deployments]) == (["good"], ["good-vm"])
    assert {*project.wrong} == {"web", "deploy:web-vm", "db", "deploy:db-vm", "deploy:lost"}


def test_an_image_spoils_who_is_made_from_it(tmp_path: Path) -> None:
    write(tmp_path, f"vms: {{{GOOD}, a: {{source: {{kind: bootc, image: top}}}}}}")
    write(tmp_path, "image: {top: {base: low}, low: {ref: 'UPPER'}, other: {ref: quay.io/a/b}}", "image.yml")
    project = tolerant(tmp_path)
    assert ([*project.vms], [*project.images]) == (["good"], ["other"])
    assert {*project.wrong} == {"a", "image:top", "image:low"}


def test_an_image_built_elsewhere_is_an_error_for_who_needs_it(tmp_path: Path) -> None:
    write(tmp_path, f"vms: {{{GOOD}}}")
    text = "image: {far: {from: 'builder:pacstrap', bootstrap_builder_image: x}, top: {base: far}}"
    write(tmp_path, text, "image.yml")
    project = load_project(tmp_path, cache=False)
    assert ([*project.images], project.mistakes) == ([], ())
    for name in ("far", "top"):
        error = unknown_image(name, project)
        assert "image 'far' is built by `from: builder:pacstrap`" in error.message and "ref:" in (error.hint or "")
    write(tmp_path, f"vms: {{{GOOD}, bad: {{source: {{kind: bootc, image: top}}}}}}")
    with pytest.raises(InputErrors) as wrong:
        load_project(tmp_path, cache=False)
    assert "source.image top: image 'far' is built by" in wrong.value.errors[0].message


def test_what_repeats_wrong_yaml_is_wrong(tmp_path: Path) -> None:
    """By an alias, a merge, extends, or as a clone; each of the others still loads."""
    write(
        tmp_path,
        f"""vms:
  {GOOD}
  bad: &b {{source: {CLOUD}, ram: 1G, ram: 2G}}
  alias: *b
  merge: {{<<: *b, cpus: 3}}
  part: {{source: {CLOUD}, ssh: &s {{user: a, user: b}}}}
  same: {{source: {CLOUD}, ssh: *s}}
  heir: {{extends: bad}}
  grandchild: {{extends: heir}}
  clone: {{source: {{kind: clone, from_vm: bad, from_snapshot: x}}}}
""",
    )
    project = tolerant(tmp_path)
    assert [*project.vms] == ["good"]
    for name in ("bad", "alias", "merge"):
        assert [error.message for error in project.wrong[name]] == ["key 'ram' appears twice"]
    assert [error.message for error in project.wrong["same"]] == ["key 'user' appears twice"]
    assert [error.message for error in project.wrong["heir"]] == ["vms.heir extends 'bad', which has a mistake"]
    assert "grandchild" in project.wrong and "clone" in project.wrong


def test_wrong_yaml_in_other_entries(tmp_path: Path) -> None:
    write(tmp_path, f"vms: {{{GOOD}, boot: {{source: {{kind: bootc, image: base}}}}, web: {{source: {CLOUD}}}}}")
    write(tmp_path, "images: {base: {ref: quay.io/a/b:1, bootc: true, bootc: false}}", "image.yml")
    write(tmp_path, "deploy: {web: {target: vm, vm: web, cpus: 1, cpus: 2}}", "deploy.yml")
    project = tolerant(tmp_path)
    assert [*project.vms] == ["good"]
    assert [error.message for error in project.wrong["boot"]] == ["key 'bootc' appears twice"]
    assert [error.message for error in project.wrong["web"]] == ["key 'cpus' appears twice"]


def test_a_single_vm_of_a_stream(tmp_path: Path) -> None:
    write(tmp_path, f"vm: {{name: bad, source: {CLOUD}, ram: 1G, ram: 2G}}\n---\nvm: {{name: good, source: {CLOUD}}}\n")
    project = tolerant(tmp_path)
    assert [*project.vms] == ["good"] and [*project.wrong] == ["bad"]


@pytest.mark.parametrize(
    "text",
    [
        f"vms: {{{GOOD}}}\nvms: {{}}",
        f"vms: {{{GOOD}}}\ndefaults: {{ram: 1G, ram: 2G}}",
        f"vms: {{{GOOD}}}\nincludes: *gone",
        f"vms: {{{GOOD}, [a]: 1}}",
    ],
)
def test_wrong_yaml_outside_of_entries_spoils_the_file(tmp_path: Path, text: str) -> None:
    write(tmp_path, text)
    with pytest.raises(InputErrors):
        tolerant(tmp_path)
