"""cloud-init's own code does the same with our seed as with the user's text alone; nobody is locked out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ovtasks.seed.cloud_init import SeedInput, render
from tests.seed.cloudinit_reads import Reads
from tests.support.projects import CLOUD, errors_of, one, place, vm_of
from tests.support.specs import KEY


@pytest.fixture(scope="module")
def reads() -> Iterator[Reads]:
    with Reads() as made:
        yield made


NETWORKS = [
    "{version: 2, ethernets: {eth0: {dhcp4: no, addresses: [10.0.0.2/24]}}}",
    "{version: 2, ethernets: {eth0: {dhcp4: off, dhcp6: on, optional: yes}}}",
    "{version: 2, ethernets: {eth0: {dhcp4: 'no', accept-ra: n}}}",
    "{version: 2, ethernets: {eth0: {dhcp4: NO, mtu: 0x5dc}}}",
    "{version: 2, ethernets: {eth0: {dhcp4: Yes, mtu: 02734, wakeonlan: y}}}",
    "{version: 2, ethernets: {eth0: {dhcp4: true, mtu: 1_500}}}",
    "{version: 2, ethernets: {eth0: {match: {macaddress: '52:54:00:12:34:56'}, set-name: lan, dhcp4: no}}}",
    "{version: 2, ethernets: {eth0: {match: {macaddress: 52:54:00:12:34:56}, dhcp4: yes}}}",
    "{version: 2, ethernets: {eth0: {match: {macaddress: 52:54:00:ab:cd:ef}, dhcp4: yes}}}",
    "{version: 2, ethernets: {z: {dhcp4: yes}, b: {dhcp4: no, addresses: ['fd00::2/64']}, a: {dhcp6: on}}}",
    "{version: 2, ethernets: {e: &e {dhcp4: no}, f: {<<: *e, dhcp6: yes}, g: *e}}",
    "{version: 2, ethernets: {e: {addresses: [10.0.0.2/24], routes: [{to: 0.0.0.0/0, via: 10.0.0.1, metric: 012}]}}}",
    "{version: 2, ethernets: {e: {addresses: [10.0.0.2/24], gateway4: 10.0.0.1, nameservers: {addresses: [1.1.1.1], "
    "search: [no, on]}}}}",
    "{version: 2, ethernets: {e: {}, f: {}}, bonds: {b: {interfaces: [f, e], dhcp4: no, addresses: [10.0.0.2/24], "
    "parameters: {mode: active-backup, mii-monitor-interval: 0144}}}}",
    "{version: 2, ethernets: {e: {dhcp4: no}}, bridges: {br0: {interfaces: [e], dhcp4: on, parameters: {stp: off}}}}",
    "{version: 2, ethernets: {e: {dhcp4: no}}, vlans: {v: {id: 0x10, link: e, addresses: [10.0.0.2/24]}}}",
    "{ethernets: {e: {dhcp4: no, dhcp4-overrides: {use-dns: no, route-metric: 0100, use-domains: route}}}}",
    "{version: 1, config: [{type: physical, name: e, subnets: [{type: static, address: 10.0.0.2/24}]}]}",
    "{config: [{type: physical, name: e, mtu: 0x5dc, accept-ra: no, subnets: [{type: dhcp}, {type: dhcp}]}]}",
    "{config: [{type: physical, name: e, mac_address: 52:54:00:12:34:57, subnets: [{type: dhcp4}]}, "
    "{type: nameserver, address: [10.0.0.1, 10.0.0.1], search: [off]}]}",
    "{config: [{type: physical, name: e}, {type: vlan, name: e.5, vlan_link: e, vlan_id: 05}]}",
    "{config: [{type: physical, name: e}, {type: bridge, name: b, bridge_interfaces: [e], params: {bridge_stp: off, "
    "bridge_fd: 0o1}, subnets: [{type: dhcp}]}]}",
    "{config: [{type: physical, name: e, subnets: [{type: static, address: 10.0.0.2, netmask: 255.255.255.0, "
    "routes: [{network: 10.1.0.0, netmask: 255.255.0.0, gateway: 10.0.0.1, metric: 1_0}]}]}]}",
    "{version: 2, ethernets: {e: {dhcp4: no, addresses: [{10.0.0.2/24: {lifetime: 0, label: 'on'}}]}}}",
    "{version: 2, ethernets: {1: {dhcp4: no}, 2: {dhcp4: yes}}}",
    "{version: 2, renderer: networkd, ethernets: {no: {dhcp4: true}}}",
]


@pytest.mark.slow
@pytest.mark.parametrize("text", NETWORKS)
def test_renderers_write_the_same(text: str, reads: Reads, tmp_path: Path) -> None:
    made = render(SeedInput(vm_of(tmp_path, f"cloud_init: {{network: {text}}}"), "ov-1", "a"))["network-config"]
    own = (
        text if "version:" in text else text.replace("{", "{version: 1, " if "config:" in text else "{version: 2, ", 1)
    )
    expected = reads.network(own)
    assert reads.network(made) == expected
    assert {"eni", "netplan", "networkd", "sysconfig"} <= set(expected)


def test_the_renderers_do_see_the_difference(reads: Reads) -> None:
    texts = [f"{{version: 2, ethernets: {{e: {{dhcp4: {word}}}}}}}" for word in ("no", "'no'")]
    (one_way, other) = map(reads.network, texts)
    assert all(one_way[name] != other[name] for name in ("eni", "netplan", "networkd", "sysconfig"))


ACCOUNTS = [
    "[{name: bob, lock_passwd: no}]",
    "[{name: bob, lock_passwd: 'no', sudo: no}]",
    "[{name: bob, lock_passwd: off, uid: 01750, no_create_home: yes}]",
    "[{name: bob, uid: 1_000, gecos: 12:30, groups: [sudo, sudo], system: on}]",
    "[{name: bob, expiredate: 2030-01-31, inactive: 5, hashed_passwd: '$6$x'}]",
    "[{name: bob, sudo: 'ALL=(ALL) ALL', ssh_authorized_keys: [a b, c d]}]",
    "[{name: bob, primary_group: 100, selinux_user: ~, passwd: !!str 0644}]",
    "[bob, {name: eve, shell: /bin/zsh}, 'dan,kim']",
    "[{name: bob, uid: 0x3e9}, {name: bob, gecos: 'B'}]",
    "'bob,eve'",
    "{bob: yes, eve: no, dan: {lock_passwd: no}, kim: 'on'}",
    "[default, {name: bob, lock-passwd: no}]",
    "[{name: bob, groups: 'a, b', create_groups: no}, default]",
]


def made_users(folder: Path, fields: str, *keys: str) -> bytes:
    return render(SeedInput(vm_of(folder, fields), "ov-1", "a", keys))["user-data"]


@pytest.mark.slow
@pytest.mark.parametrize("text", ACCOUNTS)
@pytest.mark.parametrize("who", ["debian", "admin", "root"])
def test_accounts_are_made_the_same(text: str, who: str, reads: Reads, tmp_path: Path) -> None:
    source = "{kind: bootc, image: x}" if who == "root" else CLOUD
    login = "ssh: {user: admin}" if who == "admin" else "disk_size: 5G"
    vm = vm_of(tmp_path, f"{login}, cloud_init: {{extra: {{users: {text}}}}}", source)
    made = render(SeedInput(vm, "i", "a", (KEY,)))["user-data"]
    found, expected = reads.users(made), reads.users(f"users: {text}")
    for name, account in expected.items():
        if name != "debian":
            assert found[name] == account
    if who == "debian":  # its key is in ssh_authorized_keys, and goes to the default user, which is made
        assert KEY in yaml.safe_load(made)["ssh_authorized_keys"]
        assert "ALL=(ALL) NOPASSWD:ALL" in str(found["debian"]["sudo"])
    else:
        assert found[who]["keys"] == [[[KEY], {}]]


def test_without_a_key_the_list_is_the_users_own(reads: Reads, tmp_path: Path) -> None:
    for text in ("[{name: bob}]", "[]", "[default, {name: bob}]", "bob"):
        made = made_users(tmp_path, f"ssh: {{key_source: none}}, cloud_init: {{extra: {{users: {text}}}}}")
        assert reads.users(made) == reads.users(f"users: {text}"), text


JOINED = [
    "[{name: admin, ssh_authorized_keys: [their key]}]",
    "[{name: admin, ssh_authorized_keys: their key}]",
    "[{name: admin, ssh-authorized-keys: [their key]}]",
    "{admin: {ssh_authorized_keys: {a: their key}}}",
    "[default, {name: admin, lock_passwd: no, ssh_authorized_keys: [their key]}, admin]",
]


@pytest.mark.parametrize("text", JOINED)
def test_who_logs_in_has_both_keys(text: str, reads: Reads, tmp_path: Path) -> None:
    for declared in ("", "users: [{name: admin, sudo: true}], "):
        fields = f"ssh: {{user: admin}}, cloud_init: {{{declared}extra: {{users: {text}}}}}"
        account = reads.users(made_users(tmp_path, fields, KEY))["admin"]
        assert account["keys"] == [[sorted(["their key", KEY]), {}]]
        assert account["sudo"] == ["ALL=(ALL) NOPASSWD:ALL"]


def test_keys_of_the_default_user_are_joined(tmp_path: Path) -> None:
    for text in ("[their key]", "their key", f"[their key, {KEY}]"):
        made = made_users(tmp_path, f"cloud_init: {{extra: {{ssh_authorized_keys: {text}}}}}", KEY)
        assert yaml.safe_load(made)["ssh_authorized_keys"] == [KEY, "their key"]


def test_nothing_takes_nothing_away(tmp_path: Path) -> None:
    words = "runcmd, bootcmd, write_files, packages, users, ssh_authorized_keys, apt, ssh_keys"
    extra = ", ".join(f"{word}: ~" for word in words.split(", "))
    block = f"runcmd: [x], bootcmd: [y], packages: [p], write_files: [{{path: /f}}], extra: {{{extra}}}"
    made: dict[str, Any] = yaml.safe_load(made_users(tmp_path, f"ssh: {{user: admin}}, cloud_init: {{{block}}}", KEY))
    assert made["runcmd"][-1] == "x"
    assert (made["bootcmd"], made["packages"], made["write_files"]) == (["y"], ["p"], [{"path": "/f", "content": ""}])
    assert [entry["name"] for entry in made["users"][1:]] == ["admin"]


def test_lists_are_joined_as_they_are(tmp_path: Path) -> None:
    file = "{path: /f, content: x, append: yes, permissions: 0644}"
    block = (
        f"runcmd: [a, a], bootcmd: [a, a], write_files: [{{path: /f, append: true}}], extra: {{bootcmd: [a, a], "
        f"runcmd: [a, [b, no], a], write_files: [{file}, {file}], packages: [z, a, z], mounts: [[a, b], [a, b]]}}"
    )
    made = yaml.safe_load(made_users(tmp_path, f"cloud_init: {{{block}}}"))
    assert made["runcmd"][1:] == ["a", "a", "a", ["b", False], "a"]
    assert made["bootcmd"] == ["a"] * 4
    assert [entry.get("permissions") for entry in made["write_files"]] == [None, 420, 420]
    assert made["packages"] == ["z", "a", "z"]
    assert made["mounts"] == [["a", "b"], ["a", "b"]]


LOCKED = [
    ("ssh: {user: root}", "disable_root: yes", "disable_root locks root out", "disable_root"),
    ("ssh: {user: root}", "disable_root: 'on'", "disable_root locks root out", "disable_root"),
    ("", "users: [{name: default, ssh_redirect_user: on}]", "locks the image's default user out", "ssh_redirect_user"),
    ("ssh: {user: eve}", "users: [{name: eve, ssh-redirect-user: yes}]", "locks eve out", "ssh-redirect-user"),
    ("ssh: {user: eve}", "users: {eve: {shell: /usr/sbin/nologin}}", "locks eve out", "shell"),
    ("ssh: {user: eve}", "users: [bob, {name: eve, shell: /bin/false}]", "locks eve out", "shell"),
    ("ssh: {user: eve}", "users: [{name: eve, inactive: yes}]", "locks eve out", "inactive"),
    (
        "ssh: {user: eve}",
        "cloud_init_modules: [seed_random, ssh]",
        "leaves out users-groups: eve",
        "cloud_init_modules",
    ),
    ("", "cloud_init_modules: [users_groups]", "leaves out ssh: the image's default user", "cloud_init_modules"),
    ("", "ssh_keys: {rsa_private: x, ed25519_private: x}", "the ed25519 host key is ov's", "ed25519_private"),
    ("", "runcmd: echo x", "runcmd must be a list", "echo"),
    ("", "users: 5", "users must be a list", "5"),
    ("", "apt: x", "apt must be a mapping", "x"),
]


@pytest.mark.parametrize(("fields", "extra", "message", "blamed"), LOCKED)
def test_who_would_be_locked_out_is_said(fields: str, extra: str, message: str, blamed: str, tmp_path: Path) -> None:
    line = f"    cloud_init: {{extra: {{{extra}}}}}"
    text = f"vms:\n  a:\n    source: {CLOUD}\n{line}\n" + (f"    {fields}\n" if fields else "")
    error = one(errors_of(tmp_path, text))
    assert message in error.message
    assert error.hint
    column = line.rindex(blamed) + 1
    assert place(error) == ("vms.yml", 4, column)


def test_the_place_in_a_text(tmp_path: Path) -> None:
    block = "extra: |\n        #cloud-config\n        users:\n        - {name: eve, shell: /bin/false}\n"
    text = f"vms:\n  a:\n    source: {CLOUD}\n    ssh: {{user: eve}}\n    cloud_init:\n      {block}"
    assert place(one(errors_of(tmp_path, text))) == ("vms.yml", 9, 23)


def test_an_own_account_that_locks_its_key_out(tmp_path: Path) -> None:
    text = (
        f"vms: {{a: {{source: {CLOUD}, ssh: {{user: u}}, cloud_init: {{users: [{{name: u, shell: /sbin/nologin}}]}}}}}}"
    )
    assert "cloud_init.users.0.shell locks u out" in one(errors_of(tmp_path, text)).message


FREE = [
    "disable_root: no",
    "disable_root: true",  # the key is the default user's
    "ssh_pwauth: yes, ssh_deletekeys: yes, no_ssh_fingerprints: on, allow_public_ssh_keys: no",
    "users: [{name: svc, shell: /usr/sbin/nologin}]",
    "cloud_init_modules: [users-groups], cloud_config_modules: [ssh]",
    "ssh_keys: {rsa_private: x}",
]


@pytest.mark.parametrize("extra", FREE)
def test_what_locks_nobody_out_is_left_alone(extra: str, tmp_path: Path) -> None:
    made = yaml.safe_load(made_users(tmp_path, f"cloud_init: {{extra: {{{extra}}}}}", KEY))
    for key, value in yaml.safe_load(f"{{{extra}}}").items():
        assert made[key] == (["default", *value] if key == "users" else value)


def test_without_a_key_root_may_be_locked(tmp_path: Path) -> None:
    fields = "ssh: {key_source: none, user: root}, cloud_init: {extra: {disable_root: yes}}"
    assert yaml.safe_load(made_users(tmp_path, fields))["disable_root"] is True
