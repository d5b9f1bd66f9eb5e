"""user-data, meta-data and network-config as plain data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from ovtasks.host.run import run
from ovtasks.project.model import CloudInit, Injection, OvInstall, Source, Ssh, User, VmSpec, WriteFile
from ovtasks.seed.wanted import carries_keys, hostname, wants_seed
from tests.support.programs import call, python
from tests.support.specs import DEBIAN, KEY, KEY2, UNKNOWN, bootc, bootstrap, cloud_image, data, files, vm


def test_smallest_seed() -> None:
    made = files(vm(cloud_image(UNKNOWN)))
    assert sorted(made) == ["meta-data", "user-data"]
    assert made["user-data"].startswith(b"#cloud-config\n")
    assert yaml.safe_load(made["meta-data"]) == {"instance-id": "ov-1", "local-hostname": "web"}
    assert sorted(yaml.safe_load(made["user-data"])) == ["hostname", "runcmd"]


def test_hostname_is_the_vms_name_unless_said() -> None:
    assert hostname(vm()) == "web"
    assert hostname(vm(block=CloudInit(hostname="db.example.org"))) == "db.example.org"


def test_nothing_is_installed_unless_asked() -> None:
    assert "packages" not in data(vm(user="demo"), KEY)
    assert data(vm(block=CloudInit(packages=("b", "a", "b"))))["packages"] == ["b", "a"]


@pytest.mark.parametrize(
    ("source", "word"),
    [
        (cloud_image(DEBIAN), "enable --now ssh.service"),
        (cloud_image("https://x.example/Fedora-Cloud-Base-Generic-43.x86_64.qcow2"), "enable --now sshd.service"),
        (cloud_image(UNKNOWN), "for u in ssh sshd"),
        (bootstrap(), "enable --now ssh.service"),
    ],
)
def test_sshd_is_enabled_by_the_right_name(source: Source, word: str) -> None:
    first, *rest = data(vm(source, block=CloudInit(runcmd=("true",))))["runcmd"]
    assert word in first
    assert rest == ["true"]
    call("sh", "-n", "-c", first)


def test_commands_keep_their_form_and_their_repetitions() -> None:
    commands = ("echo 'a, b'", ("printf", "%s\n", 'it\'s "x"\n$y'), "sync", "sync")
    made = data(vm(block=CloudInit(runcmd=commands, bootcmd=commands)))
    assert made["runcmd"][1:] == made["bootcmd"] == ["echo 'a, b'", ["printf", "%s\n", 'it\'s "x"\n$y'], "sync", "sync"]


def test_write_files() -> None:
    block = CloudInit(
        users=(User("dan"),),
        write_files=(
            WriteFile("/a", "x", perms="0600", encoding="b64", append=True),
            WriteFile("/b", defer=True, owner="root:root"),
            WriteFile("/home/eve/c", owner="eve:eve"),
            WriteFile("/home/dan/c", owner="dan"),
            WriteFile("/d", owner="nobody:nogroup"),
        ),
    )
    entries = data(vm(user="eve", block=block))["write_files"]
    assert entries[0] == {"path": "/a", "content": "x", "permissions": "0600", "encoding": "b64", "append": True}
    assert [entry.get("defer", False) for entry in entries] == [False, True, True, True, False]


def test_extra_is_merged_last() -> None:
    extra: dict[str, Any] = {
        "hostname": "other",
        "packages": ["b", "c", "c"],
        "growpart": {"mode": "off"},
        "runcmd": ["late"],
        "ssh_pwauth": True,
        "apt": {"primary": [{"arches": ["default"], "uri": "http://y"}], "conf": "x"},
    }
    made = data(vm(user="demo", block=CloudInit(packages=("a", "b"), extra=extra)), KEY)
    assert made["hostname"] == "other"
    assert made["packages"] == ["a", "b", "c"]
    assert made["growpart"] == {"mode": "off"}
    assert made["runcmd"][-1] == "late"
    assert made["ssh_pwauth"] is True
    assert made["apt"]["conf"] == "x"


def test_host_key() -> None:
    made = data(vm(), host_key=("-----BEGIN\nx\n", "ssh-ed25519 AAAA"))
    assert made["ssh_keys"] == {"ed25519_private": "-----BEGIN\nx\n", "ed25519_public": "ssh-ed25519 AAAA"}
    assert "ssh_deletekeys" not in made


ON, OFF, AUTO = Injection.ENABLED, Injection.DISABLED, Injection.AUTO


@pytest.mark.parametrize(
    ("source", "block", "channel", "seed", "keys"),
    [
        (cloud_image(), None, AUTO, True, True),
        (cloud_image(), None, OFF, True, False),
        (bootstrap(), None, AUTO, True, True),
        (bootstrap(), CloudInit(), ON, True, True),
        (bootc(), None, AUTO, False, False),
        (bootc(), None, ON, False, True),
        (bootc(), CloudInit(), AUTO, True, True),
        (bootc(), CloudInit(), OFF, True, False),
    ],
)
def test_channel(source: Source, block: CloudInit | None, channel: Injection, seed: bool, keys: bool) -> None:
    spec = vm(source, ssh=Ssh(user="demo", cloud_init=channel), block=block)
    assert (wants_seed(spec), carries_keys(spec)) == (seed, keys)
    assert (KEY.encode() in files(spec, KEY)["user-data"]) is keys


class TestNetworkConfig:
    def made(self, **network: Any) -> Any:
        made = files(vm(block=CloudInit(network=network)))
        return yaml.safe_load(made["network-config"]) if "network-config" in made else None

    def test_only_when_asked(self) -> None:
        assert self.made() is None
        assert self.made(version=2) is None

    def test_version_is_filled_in(self) -> None:
        assert self.made(ethernets={"e": {"dhcp4": True}}) == {"version": 2, "ethernets": {"e": {"dhcp4": True}}}
        assert self.made(config=[])["version"] == 1
        assert self.made(version=1, config="disabled") == {"version": 1, "config": "disabled"}

    def test_every_key_passes(self) -> None:
        network: dict[str, Any] = {"version": 2, "bonds": {"b": {}}, "vlans": {"v": {"id": 3}}, "renderer": "networkd"}
        assert self.made(**network) == network
        assert self.made(network={"version": 2, "ethernets": {}}) == {"network": {"version": 2, "ethernets": {}}}

    @pytest.mark.services
    def test_cloud_init_understands_it(self, tmp_path: Path) -> None:
        network: dict[str, Any] = {
            "ethernets": {"id0": {"match": {"name": "en*"}, "addresses": ["10.1.2.3/24"], "gateway4": "10.1.2.1"}}
        }
        (tmp_path / "in").write_bytes(files(vm(block=CloudInit(network=network)))["network-config"])
        words = f"--network-data {tmp_path}/in --kind yaml --distro debian --directory {tmp_path}/out --output-kind eni"
        run(["cloud-init", "devel", "net-convert", *words.split()])
        text = "".join(p.read_text() for p in (tmp_path / "out").rglob("*") if p.is_file())
        assert "10.1.2.3/24" in text
        assert "10.1.2.1" in text


def odd() -> VmSpec:
    block = CloudInit(
        write_files=(
            WriteFile("/a, b", "  lead\n\ttab\n\ntrail  \n\n"),
            WriteFile("/c", "\n x\n"),
            WriteFile("/d", "ünï \U0001f600 \x00 \x1b \u2028 'q' \"q\" # no: yes"),
            WriteFile("/e", "no", perms="0644"),
            WriteFile("/f", "\r\nx\r\n"),
        ),
        runcmd=("a: b # c", "- x", "{x}", "*y", "&z", "1:30", "null", " lead", "trail "),
        extra={"z": {"b": None, "a": [1.5, True, "2024-01-01", "0x10", "1e3"]}, "k": "~"},
    )
    return vm(user="demo", block=block)


def test_odd_texts_come_back_as_they_were() -> None:
    assert yaml.safe_load(files(odd())["user-data"]) == data(odd())


def test_bytes_depend_on_the_spec_only() -> None:
    script = (
        "import sys; from tests.seed.test_cloud_init import *\n"
        "sys.stdout.buffer.write(b''.join(v for k, v in sorted(files(odd(), KEY, KEY2).items())))"
    )
    expected = b"".join(v for k, v in sorted(files(odd(), KEY, KEY2).items()))
    for seed, zone in (("1", "Asia/Kathmandu"), ("2", "America/St_Johns")):
        env = {**os.environ, "PYTHONHASHSEED": seed, "TZ": zone, "LC_ALL": "C"}
        assert os.fsencode(python("-c", script, env=env).stdout) == expected


def test_order_of_keys_does_not_matter() -> None:
    one = CloudInit(network={"version": 2, "ethernets": {"a": {}, "b": {}}}, extra={"swap": {"x": 1, "y": 2}, "k": 1})
    two = CloudInit(network={"ethernets": {"b": {}, "a": {}}, "version": 2}, extra={"k": 1, "swap": {"y": 2, "x": 1}})
    assert files(vm(block=one)) == files(vm(block=two))


class TestOvInstall:
    @pytest.mark.parametrize("strategy", ["auto", "scp", "skip"])
    def test_nothing_in_the_seed(self, strategy: str) -> None:
        assert data(vm(block=CloudInit(ov_install=OvInstall(strategy)))) == data(vm())

    def test_url_comes_last_so_that_its_failure_shows(self) -> None:
        made = data(
            vm(block=CloudInit(runcmd=("x",), ov_install=OvInstall("url", "http://h/ov", "sha256:" + "A" * 64)))
        )
        assert made["runcmd"][-1][3:] == ["ov-install", "http://h/ov", "a" * 64, "/usr/local/bin/ov"]
        assert made["packages"] == ["curl"]

    def test_no_package_for_an_unknown_distribution(self) -> None:
        block = CloudInit(ov_install=OvInstall("url", "http://h/ov"))
        assert "packages" not in data(vm(cloud_image(UNKNOWN), block=block))
