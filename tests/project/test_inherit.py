"""``defaults:``, ``extends:`` and templates: what a VM has from other entries, and where a mistake stands."""

from __future__ import annotations

from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from ovtasks.cli.main import run
from ovtasks.errors import EXIT_INPUT, InputError
from ovtasks.migrate.names import migrate_names
from ovtasks.project.load import check, load_project, unknown_vm
from ovtasks.project.locate import inherited, locate
from ovtasks.project.model import BootcSource, BootstrapSource, CloudImageSource, VmSpec
from ovtasks.project.schema import inlined
from ovtasks.values.sizes import GiB
from ovtasks.values.yamlio import parse_yaml
from tests.support.projects import CLOUD, errors_of, one, place, write

BASE = """
defaults:
  ram: 1G
  cpus: 3
vms:
  .base:
    source: {kind: bootstrap, distro: debian, packages: [less]}
    disk_size: 2G
    cloud_init:
      packages: [vim]
      timezone: Europe/Berlin
  web:
    extends: .base
    ram: 2G
    source: {suite: bookworm}
    cloud_init: {packages: [git, curl], locale: C.UTF-8}
  db:
    extends: web
    cpus: null
    cloud_init: {timezone: null}
  alone: {source: {kind: bootstrap}, disk_size: 3G}
"""


def load(root: Path, name: str, *, cache: bool = False) -> VmSpec:
    return load_project(root, cache=cache).vms[name]


def test_mappings_are_merged_lists_replaced_and_null_removes(tmp_path: Path) -> None:
    write(tmp_path, BASE)
    assert [*load_project(tmp_path).vms] == ["web", "db", "alone"]
    for _ in range(2):  # the second time from the cache
        web, db, alone = (load(tmp_path, name, cache=True) for name in ("web", "db", "alone"))
        assert (web.ram, web.cpus, web.disk_size) == (2 * GiB, 3, 2 * GiB)
        assert isinstance(web.source, BootstrapSource) and isinstance(db.source, BootstrapSource)
        assert (web.source.suite, web.source.packages, db.source.suite) == ("bookworm", ("less",), "bookworm")
        assert web.cloud_init and db.cloud_init
        assert (web.cloud_init.packages, web.cloud_init.timezone) == (("git", "curl"), "Europe/Berlin")
        assert (db.ram, db.cpus, db.cloud_init.timezone, db.cloud_init.locale) == (2 * GiB, 2, None, "C.UTF-8")
        assert (alone.ram, alone.cpus, alone.disk_size) == (GiB, 3, 3 * GiB)
        assert "extends" not in db.declared and db.declared["ram"] == "2G"
        assert [where.line for where in db.bases] == [2, 6, 12]


def test_a_null_without_anything_to_remove_means_the_default(tmp_path: Path) -> None:
    write(tmp_path, f"vms: {{a: {{source: {CLOUD}, ram: ~}}, b: {{extends: a, cloud_init: {{extra: {{swap: ~}}}}}}}}")
    found = load(tmp_path, "b")
    assert found.ram == 4 * GiB and found.cloud_init is not None and found.cloud_init.extra == {"swap": None}


@pytest.mark.parametrize("key", ["vms", "vm"])
def test_a_source_of_another_kind_stands_for_itself(tmp_path: Path, key: str) -> None:
    bootc = "{kind: bootc, image: quay.io/a/b:1}"
    text = f"""
{key}:
  a: {{source: {CLOUD}, disk_size: 5G}}
  same: {{extends: a, source: {{base_user: ann}}}}
  other: {{extends: a, source: {bootc}}}
  named: {{extends: a, source: debian:13}}
  more: {{extends: named, source: {{base_user: bob}}}}
"""
    write(tmp_path, text)
    same, other, named, more = (load(tmp_path, name).source for name in ("same", "other", "named", "more"))
    assert isinstance(same, CloudImageSource) and (same.url, same.base_user) == ("https://example.org/a.qcow2", "ann")
    assert isinstance(other, BootcSource) and other.image == "quay.io/a/b:1"
    assert isinstance(named, CloudImageSource) and (named.official, named.base_user) == ("debian:13", "debian")
    assert isinstance(more, CloudImageSource) and (more.official, more.base_user) == ("debian:13", "bob")


def test_what_cloud_init_reads_is_merged_as_it_reads_it(tmp_path: Path) -> None:
    text = f"""
defaults: {{cloud_init: {{extra: {{a: 012, when: 2024-01-01}}}}}}
vms:
  one: {{source: {CLOUD}, cloud_init: {{extra: {{b: no, when: 2025-01-01}}}}}}
  two: {{extends: one, cloud_init: {{extra: {{a: null, c: {{d: 0x10}}}}}}}}
  text: {{extends: two, cloud_init: {{extra: "e: 1"}}}}
  again: {{extends: text, cloud_init: {{extra: {{f: 010}}}}}}
"""
    write(tmp_path, text)
    extras = {vm.name: vm.cloud_init.extra for vm in load_project(tmp_path).vms.values() if vm.cloud_init}
    assert extras["one"] == {"a": 10, "b": False, "when": {"\0": "date", "text": "2025-01-01"}}
    assert extras["two"] == {"b": False, "c": {"d": 16}, "when": {"\0": "date", "text": "2025-01-01"}}
    assert extras["text"] == {"e": 1} and extras["again"] == {"f": 8}


IDENTITY = """
vms:
  a:
    source: {kind: cloud_image, url: https://example.org/a.qcow2}
    network: {mac: "52:54:00:12:34:56", model: e1000}
    ssh: {port: 2222, user: ann}
    cloud_init: {hostname: first, locale: C.UTF-8}
    libvirt:
      devices:
        interfaces: [{type: user, mac: "52:54:00:12:34:57"}]
        vsock: {cid: {auto: "no", address: 77}}
      sysinfo: {system: {serial: A1, product: box}}
  b: {extends: a}
"""


def test_what_names_one_machine_is_not_inherited(tmp_path: Path) -> None:
    write(tmp_path, IDENTITY)
    a, b = load(tmp_path, "a"), load(tmp_path, "b")
    assert (a.network.mac, a.ssh.port) == ("52:54:00:12:34:56", 2222)
    assert (b.network.mac, b.ssh.port, b.network.model, b.ssh.user) == (None, None, "e1000", "ann")
    assert b.cloud_init is not None and (b.cloud_init.hostname, b.cloud_init.locale) == (None, "C.UTF-8")
    assert b.libvirt["devices"] == {"interfaces": [{"type": "user"}], "vsock": {}}
    assert b.libvirt["sysinfo"] == {"system": {"product": "box"}}


@pytest.mark.parametrize(
    ("entry", "dotted"),
    [
        ("defaults: {network: {mac: '52:54:00:12:34:56'}}", "defaults.network.mac"),
        ("vms: {.t: {ssh: {port: 22}}}", "vms..t.ssh.port"),
        ("vms: {t: {abstract: true, cloud_init: {hostname: x}}}", "vms.t.cloud_init.hostname"),
        (
            "vms: {.t: {libvirt: {devices: {interfaces: [{type: user}, {type: user, mac: '52:54:00:12:34:56'}]}}}}",
            "vms..t.libvirt.devices.interfaces[1].mac",
        ),
    ],
)
def test_a_template_has_nothing_that_names_one_machine(tmp_path: Path, entry: str, dotted: str) -> None:
    error = one(errors_of(tmp_path, entry))
    assert error.message == f"{dotted} names one machine, and is not inherited"
    assert place(error) == ("vms.yml", 1, entry.index(dotted.rpartition(".")[2] + ":") + 1)


WRONG = [
    ("a: {extends: bas}\n  base: {SOURCE}", "extends: there is no 'bas'", "did you mean 'base'?", 2, 16),
    ("a: {extends: a}", "'a' cannot extend itself", "another entry", 2, 16),
    ("a: {extends: b}\n  b: {extends: .c}\n  .c: {extends: a}", "forms a circle: .c → a → b → .c", "alone", 4, 17),
    ("a: {extends: .b}\n  .b: {rem: 1}", "vms.a extends '.b', which has a mistake", "vms.yml:3:8", 2, 16),
    ("a: {extends: .b}\n  .b: {rem: 1}", "unknown key 'rem' in vms..b", "did you mean 'ram'?", 3, 8),
    ("a: {extends: [b]}", "vms.a.extends must be text, not a list", None, 2, 16),
    ("a: {extends: 7}\n  b: {SOURCE}", "extends: there is no '7'", None, 2, 16),
    ("a: {SOURCE, abstract: maybe}", "vms.a.abstract must be true or false", None, 2, 80),
    ("a: {extends: .b}\n  .b: {ram: 1G}", "'source' is missing in vms.a", None, 2, 3),
    (".B: {ram: 1G}", "'.B' is not a valid template name", ".base", 2, 3),
    (".b: {abstract: false}", "'.b' is a template, because its name begins with a dot", "remove the dot", 2, 18),
    ("a: {SOURCE}\n  a: {extends: a}", "key 'a' appears twice", None, 3, 3),
    ("a: {SOURCE}\ndefaults: {abstract: true}", "defaults: has no 'abstract'", "an entry", 3, 12),
    ("a: {SOURCE}\ndefaults: {rem: 1}", "unknown key 'rem' in defaults", "did you mean 'ram'?", 3, 12),
    ("a: {SOURCE}\n---\ndefaults: {}\n---\ndefaults: {ram: 1G}", "a file has one defaults:", "vms.yml:4:1", 6, 1),
    ("a: {SOURCE}\ndefaults: 5", "defaults must be a mapping, not 5", None, 3, 11),
]


@pytest.mark.parametrize(("text", "message", "hint", "line", "column"), WRONG)
def test_mistakes_have_place_and_hint(
    tmp_path: Path, text: str, message: str, hint: str | None, line: int, column: int
) -> None:
    found = errors_of(tmp_path, "vms:\n  " + text.replace("SOURCE", f"source: {CLOUD}") + "\n")
    error = next((error for error in found if message in error.message), None)
    assert error is not None, [str(error) for error in found]
    assert place(error) == ("vms.yml", line, column)
    assert hint is None or hint in (error.hint or ""), error.hint


def test_a_mistake_is_told_where_it_was_written(tmp_path: Path) -> None:
    """The value is wrong only together with the heir's, or for rules that look at whole VMs."""
    write(tmp_path, "includes: [bases/vms.yml]\nvms:\n  a:\n    extends: .small\n    source: {kind: bootstrap}\n")
    write(tmp_path, "vms:\n  .small:\n    source: {url: https://example.org/a}\n    disk_size: 1M\n", "bases/vms.yml")
    url, small = sorted(check((), tmp_path).errors, key=lambda error: error.message)
    assert "disk_size of 1M is too small" in small.message and place(small) == ("vms.yml", 4, 16)
    assert "'url' belongs to source.kind cloud_image" in url.message and place(url) == ("vms.yml", 3, 14)
    assert all(error.where and error.where.file.endswith("bases/vms.yml") for error in (small, url))


def test_one_mistake_in_a_base_is_told_once_and_spoils_its_heirs_alone(tmp_path: Path) -> None:
    vms = "a: {extends: .b}\n  c: {extends: .b}\n  .b: {disk_size: 1M}\n  d: {}\n"
    write(tmp_path, f"defaults: {{source: {CLOUD}}}\nvms:\n  {vms}")
    error = one([*check((), tmp_path).errors])
    assert error.owners == {"a", "c"}
    assert [*load_project(tmp_path, tolerant=True).vms] == ["d"]


def test_wrong_defaults_spoil_the_vms_of_their_file(tmp_path: Path) -> None:
    write(tmp_path, f"includes: [more.yml]\ndefaults: {{rem: 1}}\nvms: {{a: {{source: {CLOUD}}}}}")
    write(tmp_path, f"vms: {{b: {{source: {CLOUD}}}}}", "more.yml")
    assert one([*check((), tmp_path).errors]).owners == {"a"}
    assert [*load_project(tmp_path, tolerant=True).vms] == ["b"]


def test_defaults_are_for_the_vms_of_their_file(tmp_path: Path) -> None:
    write(tmp_path, f"includes: [other/vms.yml]\ndefaults: {{ram: 1G, cpus: 3}}\nvms: {{a: {{source: {CLOUD}}}}}")
    other = f"defaults: {{ram: 2G}}\nvms: {{b: {{source: {CLOUD}}}, c: {{extends: a}}}}"
    write(tmp_path, other, "other/vms.yml")
    vms = load_project(tmp_path).vms
    assert [(vm.name, vm.ram // GiB, vm.cpus) for vm in vms.values()] == [("a", 1, 3), ("b", 2, 2), ("c", 1, 3)]


@pytest.mark.parametrize("file", ["overthink.yml", "deploy.yml", "image.yml"])
def test_defaults_of_other_files_mean_nothing_to_vms(tmp_path: Path, file: str) -> None:
    write(tmp_path, f"vms: {{a: {{source: {CLOUD}}}}}")
    write(tmp_path, "defaults: {ram: 1G, registry: example.org}\n", file)
    assert [named.name for named in check((), tmp_path).ignored] == ["defaults"]
    assert load(tmp_path, "a").ram == 4 * GiB


def test_a_relative_path_is_that_of_the_file_that_says_it(tmp_path: Path) -> None:
    write(
        tmp_path, "includes: [bases/vms.yml]\nvms: {a: {extends: .b}, c: {extends: .b, ssh: {key_source: ./own.pub}}}"
    )
    base = "{source: {kind: cloud_image, url: https://example.org/a, checksum: {keyring: keys.gpg}}, ssh: {KEY}}"
    write(tmp_path, f"vms: {{.b: {base.replace('KEY', 'key_source: ../me.pub')}}}", "bases/vms.yml")
    a, c = load(tmp_path, "a"), load(tmp_path, "c")
    assert a.ssh.key_source == str(tmp_path / "me.pub") and c.ssh.key_source == str(tmp_path / "own.pub")
    assert isinstance(a.source, CloudImageSource) and a.source.checksum.keyring == tmp_path / "bases/keys.gpg"


def test_a_single_vm_a_document(tmp_path: Path) -> None:
    write(
        tmp_path,
        f"vm: {{name: a, source: {CLOUD}, cpus: 3}}\n---\nvm: {{name: b, extends: a}}\n---\ndefaults: {{ram: 1G}}\n",
    )
    b = load(tmp_path, "b")
    assert (b.name, b.cpus, b.ram) == ("b", 3, GiB)
    assert locate(b, ("cpus",)).line == 1 and locate(b, ("ram",)).line == 5


def test_other_names_of_keys_are_inherited_too(tmp_path: Path) -> None:
    vms = f"a: {{source: {CLOUD}, cpu: 6}}, b: {{extends: a, cpus: ~}}, c: {{source: {CLOUD}}}"
    text = f"defaults: {{cpu: 5}}\nvms: {{{vms}}}"
    write(tmp_path, text)
    assert [vm.cpus for vm in load_project(tmp_path).vms.values()] == [6, 2, 5]


def test_places_of_what_is_inherited(tmp_path: Path) -> None:
    write(tmp_path, BASE)
    db = load(tmp_path, "db")
    found = {field: text.rpartition("/")[2] for field, text in inherited(db).items()}
    assert found["disk_size"].endswith("vms.yml:8:5") and found["ram"].endswith("vms.yml:14:5")
    assert inherited(db)["disk_size"].startswith(".base, ") and inherited(db)["ram"].startswith("web, ")
    assert "cpus" not in found and inherited(load(tmp_path, "alone"))["cpus"].startswith("defaults, ")
    assert locate(db, ("cloud_init", "packages", 1)).line == 16


def test_a_template_is_not_built_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, BASE + "  old: {abstract: yes}\n")
    for name in (".base", "old"):
        error = unknown_vm(name, load_project(tmp_path))
        assert (error.message, error.hint) == (
            f"'{name}' is a template, which is not built",
            f"a VM takes it: extends: {name}",
        )
    assert run(["-C", str(tmp_path), "plan", "build:.base"]) == EXIT_INPUT
    assert "template" in capsys.readouterr().err
    assert run(["-C", str(tmp_path), "validate"]) == 0
    assert capsys.readouterr().out == "3 VMs valid\n"


def test_a_wrong_value_in_text_for_cloud_init_has_its_place(tmp_path: Path) -> None:
    write(
        tmp_path,
        "vms:\n  .b: {cloud_init: {extra: {x: !!float abc}}}\n  a: {extends: .b, source: SOURCE}\n".replace(
            "SOURCE", CLOUD
        ),
    )
    found: list[InputError] = [*check((), tmp_path).errors]
    assert "cloud-init could not read this" in one(found).message and place(one(found))[1] == 2


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (BASE.replace("cpus: null", "").replace("timezone: null", ""), []),
        ("vms: {a: {source: {url: https://example.org/a}}}", [["vms", "a", "source"]]),
        ("vms: {a: {ram: 1G}}", [["vms", "a"]]),
        ("vms: {a: {extends: .b}, .b: {ram: 1G}, c: {abstract: true}, d: {cpus: 1}}", [["vms", "d"]]),
        ("defaults: {source: debian:13}\nvms: {a: {cpus: 1}}", []),
        ("defaults: {rem: 1}\nvms: {}", [["defaults"]]),
        ("vm: {name: a, extends: b}", []),
    ],
)
def test_editors_say_the_same(text: str, wrong: list[list[str]]) -> None:
    data = parse_yaml(text.encode(), "vms.yml")[0].data
    assert [[*error.absolute_path] for error in Draft202012Validator(inlined("vms")).iter_errors(data)] == wrong


def test_a_migration_leaves_them_alone(tmp_path: Path) -> None:
    path = write(tmp_path, BASE.replace("cpus: 3", "cpu: 3"))
    assert migrate_names(path, path.read_text()) == BASE
