"""Credentials by SMBIOS, read by the program that reads them in a guest."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from ovtasks.errors import InputError
from ovtasks.host.run import require, run
from ovtasks.machine.smbios import (
    HOST_KEY,
    KEYS_BESIDE,
    SSHD_DROP_IN,
    notify_credential,
    ssh_credentials,
    tmpfiles_extra,
)
from tests.support.specs import KEY, KEY2
from tests.support.sshd import make_empty_folder

PRIVATE = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n-----END OPENSSH PRIVATE KEY-----\n"
BINARY = "io.systemd.credential.binary:"


def decoded(string: str) -> tuple[str, str]:
    """Name and value of a binary credential."""
    assert string.startswith(BINARY)
    name, _, value = string.removeprefix(BINARY).partition("=")
    return name, base64.b64decode(value, validate=True).decode()


def as_in_guest(root: Path, content: str, *users: str) -> None:
    """What systemd-tmpfiles makes of the credential in a root tree whose accounts are root and ``users``, all of them
    with our own numbers, so that anybody can run this."""
    ids = f"{os.getuid()}:{os.getgid()}"
    (root / "etc").mkdir(parents=True, exist_ok=True)
    lines = [f"{name}:x:{ids}::/home/{name}:/bin/sh\n" for name in ("root", *users)]
    (root / "etc/passwd").write_text("".join(lines))
    (root / "etc/group").write_text(f"root:x:{os.getgid()}:\n")
    file = root.parent / "credential.conf"
    file.write_text(content)
    run(["systemd-tmpfiles", f"--root={root}", "--create", file], check=False)


def mode(path: Path) -> str:
    return oct(path.stat().st_mode & 0o7777)


def test_roots_keys_have_a_credential_of_their_own() -> None:
    (string,) = ssh_credentials("root", [KEY, KEY2 + "\n"])
    assert decoded(string) == ("ssh.authorized_keys.root", f"{KEY}\n{KEY2}\n")


def test_nothing_to_say() -> None:
    assert ssh_credentials("root", []) == ssh_credentials("demo", []) == ()


def test_another_users_keys(tmp_path: Path) -> None:
    (string,) = ssh_credentials("demo", [KEY, KEY2])
    name, content = decoded(string)
    assert name == "tmpfiles.extra"
    root = tmp_path / "root"
    (root / "home/demo/.ssh").mkdir(parents=True)
    (root / "home/demo/.ssh/authorized_keys").write_text("an old key, much longer than the new ones" * 100)
    as_in_guest(root, content, "demo")
    keys = root / "home/demo/.ssh/authorized_keys"
    assert keys.read_text() == f"{KEY}\n{KEY2}\n"
    assert (mode(keys), mode(keys.parent)) == ("0o600", "0o700")


def test_keys_beside_the_home_are_what_sshd_reads(tmp_path: Path) -> None:
    """cloud-init may overwrite the file in the home; sshd finds the keys in the other place, for this account alone."""
    root = tmp_path / "root"
    as_in_guest(root, tmpfiles_extra("demo", [KEY, KEY2]), "demo")
    beside = root / KEYS_BESIDE.removeprefix("/") / "demo"
    assert beside.read_text() == f"{KEY}\n{KEY2}\n"
    assert (mode(beside), mode(beside.parent)) == ("0o644", "0o755")
    drop_in = root / SSHD_DROP_IN.removeprefix("/")
    known = {line.split()[0]: line.split()[1:] for line in drop_in.read_text().splitlines()}
    assert known["Match"] == ["User", "demo"]
    assert known["AuthorizedKeysFile"] == [".ssh/authorized_keys", ".ssh/authorized_keys2", f"{KEYS_BESIDE}/%u"]


@pytest.mark.services
def test_sshd_takes_the_drop_in_for_one_account(tmp_path: Path) -> None:
    root, host_key = tmp_path / "root", tmp_path / "host_key"
    make_empty_folder()
    as_in_guest(root, tmpfiles_extra("demo", [KEY]), "demo")
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", host_key])
    config = tmp_path / "sshd_config"
    config.write_text(f"Include {root}{SSHD_DROP_IN}\nHostKey {host_key}\nAuthorizedKeysFile .ssh/own\n")
    for user, places in (
        ("demo", f".ssh/authorized_keys .ssh/authorized_keys2 {KEYS_BESIDE}/%u"),
        ("root", ".ssh/own"),
    ):
        said = run([require("sshd"), "-T", "-f", config, "-C", f"user={user},host=h,addr=127.0.0.1"])
        assert f"authorizedkeysfile {places}\n" in said.stdout, said


@pytest.mark.parametrize("user", ["a*", "!a", "a,b", "a b"])
def test_a_pattern_gets_no_drop_in(user: str) -> None:
    assert "/etc/ssh" not in tmpfiles_extra(user, [KEY])


def test_nothing_is_made_for_an_unknown_user(tmp_path: Path) -> None:
    as_in_guest(tmp_path / "root", tmpfiles_extra("nobody-here", [KEY]))
    assert not (tmp_path / "root/home").exists()


def test_host_key_beside_a_users_keys_in_one_credential(tmp_path: Path) -> None:
    (string,) = ssh_credentials("demo", [KEY], (PRIVATE, "ssh-ed25519 AAAA ov-web"))
    name, content = decoded(string)
    assert name == "tmpfiles.extra"
    root = tmp_path / "root"
    as_in_guest(root, content, "demo")
    private = root / HOST_KEY.removeprefix("/")
    public = private.with_suffix(".pub")
    assert (private.read_text(), mode(private)) == (PRIVATE, "0o600")
    assert (public.read_text(), mode(public)) == ("ssh-ed25519 AAAA ov-web\n", "0o644")
    assert (root / "home/demo/.ssh/authorized_keys").read_text() == KEY + "\n"


def test_host_key_beside_roots_keys() -> None:
    names = [decoded(string)[0] for string in ssh_credentials("root", [KEY], (PRIVATE, "ssh-ed25519 AAAA"))]
    assert names == ["ssh.authorized_keys.root", "tmpfiles.extra"]


@pytest.mark.parametrize("user", ["a%h", "a b", 'a"b', "a\\b", "a'b", "a#b", "d'a b%%"])
def test_odd_user_names_are_one_word(tmp_path: Path, user: str) -> None:
    """The name arrives as it is: systemd-tmpfiles knows it from the account file, or writes where it says."""
    lines = tmpfiles_extra(user, [KEY]).splitlines()
    # accounts cannot be called so on every systemd: what is looked at is the path, with an owner it knows
    folder = lines[0].removeprefix("d ").rpartition(" 0700 ")[0]
    root = tmp_path / "root"
    as_in_guest(root, f"d {folder} 0700 root - -\n")
    assert (root / f"home/{user}/.ssh").is_dir()


@pytest.mark.parametrize("user", ["", ".", "..", "a/b", "a:b", "a\nb", "../root"])
def test_no_user_name(user: str) -> None:
    with pytest.raises(InputError, match="is not a user name"):
        ssh_credentials(user, [KEY])


def test_where_the_guest_announces_its_boot() -> None:
    assert notify_credential(5) == "io.systemd.credential:vmm.notify_socket=vsock-stream:2:5"
