"""Deployments as values: every key, every mistake, and the files that they may stand in."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovtasks.errors import InputError
from ovtasks.project.deploy_model import Deployment, Ephemeral, InstallOptions
from ovtasks.project.load import check, load_project
from ovtasks.project.model import Placement
from ovtasks.project.schema import inlined
from ovtasks.values.sizes import GiB
from tests.support.projects import CLOUD, one, place, write

VMS = f"vms: {{web: {{source: {CLOUD}}}, db: {{source: {CLOUD}}}}}\n"
FULL = """# every key
deploy:
  vm:web/dev:
    add_layers: [tools, base]
    install_opts: {with_services: true, allow_repo_changes: yes, skip_incompatible: true, builder_image: build}
    env:
      - EDITOR=vim
      - URL=http://x/?a=b
    eval:
      - {id: up, command: uptime}
    disposable: true
    lifecycle: dev
    ephemeral: {ttl: 2h, keep_on_failure: true}
    cpus: 8
    ram: 16G
    disk_size: 40G
    nested: {inner: {target: local}}
    vm_state: {instance_id: x}
    host: a
    user: b
    ssh_args: [-v]
    cloud_init_clean: true
    description: {feature: x}
"""


def project(folder: Path, deploy: str) -> Path:
    write(folder, VMS)
    write(folder, deploy, "deploy.yml")
    for name in ("tools", "base"):
        write(folder, "version: 1\n", f"layers/{name}/layer.yml")
    return folder


def deployments(folder: Path, *, cache: bool = False) -> dict[str, Deployment]:
    found = load_project(folder, cache=cache).deployments
    return {name: found[name] for name in found}


def errors(folder: Path) -> list[InputError]:
    return list(check((), folder).errors)


def test_every_key(tmp_path: Path) -> None:
    found = deployments(project(tmp_path, FULL))["vm:web/dev"]
    assert (found.vm, found.instance, found.words) == ("web", "dev", "web -i dev")
    assert [(layer.name, layer.where.line, layer.where.column) for layer in found.layers] == [
        ("tools", 4, 18),
        ("base", 4, 25),
    ]
    assert found.options == InstallOptions(True, True, skip_incompatible=True, builder_image="build")
    assert found.environment == {"EDITOR": "vim", "URL": "http://x/?a=b"}
    (check_,) = found.checks
    assert check_.data == {"id": "up", "command": "uptime"} and check_.place("command").line == 10
    assert (found.disposable, found.lifecycle, found.ephemeral) == (True, "dev", Ephemeral(7200, True))
    assert (found.cpus, found.ram, found.disk_size) == (8, 16 * GiB, 40 * GiB)
    names = {"nested", "vm_state", "host", "user", "ssh_args", "cloud_init_clean", "description"}
    assert {field.name for field in found.ignored} == names
    assert {field.name for field in check((), tmp_path).ignored} == names
    assert found.file == tmp_path / "deploy.yml" and (found.where.line, found.where.column) == (3, 3)
    written = set(inlined("deploy")["$defs"]["vm"]["properties"]) - {"target", "vm", "from", "from_snapshot"}
    assert all(f"    {key}:" in FULL for key in written)


def test_the_cache_gives_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(tmp_path, FULL)
    monkeypatch.chdir(tmp_path)
    read, cached = deployments(tmp_path, cache=True), deployments(tmp_path, cache=True)
    assert read == cached and cached["vm:web/dev"].where.file == "deploy.yml"
    monkeypatch.chdir("/usr")
    elsewhere = deployments(tmp_path, cache=True)["vm:web/dev"]
    assert elsewhere.layers[0].where.file == elsewhere.checks[0].where.file == str(tmp_path / "deploy.yml")


def test_the_vm_knows_what_is_said_about_its_instances(tmp_path: Path) -> None:
    more = "  web-vm: {target: vm, cpus: 2}\n  more: {target: vm, vm: web, cpus: 9, ram: 1G, lifecycle: prod}\n"
    project(tmp_path, FULL + more)
    vm = load_project(tmp_path, cache=False).vms["web"]
    assert vm.placement("dev") == Placement("dev", 8, 16 * GiB, 40 * GiB, True, "dev")
    assert vm.placement(None) == Placement(None, 2, GiB, None, None, "prod")
    assert vm.placement("other") == Placement(None)


def test_later_spellings(tmp_path: Path) -> None:
    text = """deploy:
  web-vm:
    target: vm
    add_layer: [tools]
    install_opt: {with_service: true, allow_repo_change: true, allow_root_task: true}
    cpu: 3
"""
    found = deployments(project(tmp_path, text))["web-vm"]
    assert [layer.name for layer in found.layers] == ["tools"] and found.cpus == 3
    assert found.options == InstallOptions(True, True, True)


def test_env_as_a_mapping_and_ephemeral_as_a_word(tmp_path: Path) -> None:
    project(tmp_path, "deploy: {web: {target: vm, env: {A: 1, B: true, C: x}, ephemeral: true}}")
    found = deployments(tmp_path)["web"]
    assert found.environment == {"A": "1", "B": "true", "C": "x"}
    assert found.ephemeral == Ephemeral(3600) and found.may_be_destroyed and not found.disposable


def test_the_older_root(tmp_path: Path) -> None:
    old = "deployments: {images: {web-vm: {target: vm}, x: {image: x}}, 'vm:db': {}, images-vm: {target: pod}}"
    assert {*deployments(project(tmp_path, old))} == {"web-vm", "vm:db"}


def test_vms_in_deploy_yml_count(tmp_path: Path) -> None:
    text = f"""deploy: {{arch-vm: {{target: vm, vm: arch}}}}
vm:
  arch:
    source: {CLOUD}
    disposable: true
    lifecycle: dev
k8s: {{x: {{image: ''}}}}
"""
    project(tmp_path, text)
    loaded = load_project(tmp_path, cache=False)
    assert {*loaded.vms} == {"web", "db", "arch"}
    assert loaded.vms["arch"].placement(None).disposable is None
    assert [(field.name, field.where.line) for field in check((), tmp_path).ignored] == [
        ("k8s", 7),
        ("disposable", 5),
        ("lifecycle", 6),
    ]


@pytest.mark.parametrize(
    ("entry", "message", "hint", "column"),
    [
        ("ephemeral: false", "ephemeral: false means nothing", "remove it", 32),
        ("disposable: false, ephemeral: true", "disposable: false contradicts ephemeral", "remove one", 33),
        ("ephemeral: {ttl: soon}", "ephemeral.ttl: 'soon' is not a length of time", "30d", 38),
        ("ephemeral: {ttl: 60}", "'60' has no unit", "90m", 38),
        ("ephemeral: {tll: 1h}", "unknown key 'tll'", "'ttl'", 33),
        ("env: [A]", "'A' is not a NAME=VALUE", "EDITOR=vim", 27),
        ("env: [A=1, A=2]", "A is set twice", "keep one", 32),
        ("env: {1A: x}", "'1A' is not a valid variable name", "", 27),
        ("install_opts: {verfy: true}", "unknown key 'verfy'", "'verify'", 36),
        ("install_opts: {verify: 5}", "must be true or false", "checks", 44),
        ("cpus: 0", "at least 1", "wins over the VM's", 27),
        ("ram: 1M", "ram: 1M is too small: at least 32M", "", 26),
        ("disk_size: 1K", "disk_size: 1K is too small: at least 32M", "", 32),
        ("cpus: 0", "cpus is 0, but must be at least 1", "", 27),
        ("ram: much", "ram: 'much'", "", 26),
        (
            "add_layers: [base], add_layer: [tools]",
            "'add_layer' and 'add_layers' mean the same",
            "make one of the two",
            41,
        ),
        ("install_opts: {verify: true}, cpu: 1, cpus: 2", "'cpus' and 'cpu' mean", "make one", 59),
        ("lifecycle: ''", "must not be empty", "", 32),
        ("disposable: maybe", "must be true or false", "ov update", 33),
    ],
)
def test_mistakes(entry: str, message: str, hint: str, column: int, tmp_path: Path) -> None:
    error = one(errors(project(tmp_path, f"deploy: {{'vm:web': {{{entry}}}}}")))
    assert message in error.message
    assert hint in (error.hint or "")
    assert place(error) == ("deploy.yml", 1, column)


def test_two_of_one_name_in_two_files(tmp_path: Path) -> None:
    project(tmp_path, "deploy: {web: {target: vm}}")
    write(tmp_path, "deploy: {web: {target: vm}}", "overthink.yml")
    error = one(errors(tmp_path))
    assert error.message == "deployment 'web' is defined twice" and "overthink.yml:1:10" in (error.hint or "")


def test_a_reserved_name(tmp_path: Path) -> None:
    error = one(errors(project(tmp_path, "deploy: {web-eph-1: {target: vm, vm: web}}")))
    assert "-eph-" in error.message and place(error) == ("deploy.yml", 1, 10)


def test_env_is_what_was_written(tmp_path: Path) -> None:
    project(tmp_path, "deploy: {web: {target: vm, env: {A: 1.10, B: True, C: 0644, D: yes, E: -0, F: +5, G: 2.0}}}")
    found = deployments(tmp_path)["web"]
    assert found.environment == {"A": "1.10", "B": "True", "C": "0644", "D": "yes", "E": "-0", "F": "+5", "G": "2.0"}
