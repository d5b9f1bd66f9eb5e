"""Which host keys are known: ours and OpenSSH's answer are the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ovtasks.guest.connection import connect
from ovtasks.guest.known_hosts import KnownHost, kinds, look_up, remember
from ovtasks.guest.target import WrongHostKeyError
from ovtasks.instance.keys import generate_host_key
from tests.support.programs import call
from tests.support.sshd import Sshd, run_ssh

OTHER = " ".join(generate_host_key()[1].split()[:2])
RSA = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQDa"
Lines = Callable[[str], str]
FILES: dict[str, tuple[Lines, KnownHost]] = {
    "empty": (lambda key: "", KnownHost.NEW),
    "comments": (lambda key: f"# ov-web {key}\n\n   \nhalf\nov-web ssh-ed25519\n", KnownHost.NEW),
    "plain": (lambda key: f"ov-web {key} a comment\n", KnownHost.KNOWN),
    "no newline": (lambda key: f"\tov-web\t{key}", KnownHost.KNOWN),
    "other": (lambda key: f"ov-web {OTHER}\n", KnownHost.CHANGED),
    "both": (lambda key: f"ov-web {OTHER}\nov-web {key}\n", KnownHost.KNOWN),
    "another host": (lambda key: f"ov-other {key}\n", KnownHost.NEW),
    "with port": (lambda key: f"[ov-web]:22 {key}\n[127.0.0.1]:22 {key}\n127.0.0.1 {key}\n", KnownHost.NEW),
    "list": (lambda key: f"a,OV-WEB,b {key}\n", KnownHost.KNOWN),
    "pattern": (lambda key: f"ov-?e* {key}\n", KnownHost.KNOWN),
    "negated": (lambda key: f"ov-*,!ov-web {key}\n", KnownHost.NEW),
    "revoked": (lambda key: f"ov-web {key}\n@revoked * {key}\n", KnownHost.REVOKED),
    "other revoked": (lambda key: f"ov-web {key}\n@revoked * {OTHER}\n", KnownHost.KNOWN),
    "authority": (lambda key: f"@cert-authority * {key}\n", KnownHost.NEW),
    "not base64": (lambda key: "|1|%%|%% " + key + "\n|1| " + key + "\n", KnownHost.NEW),
}


@pytest.mark.parametrize("name", FILES)
def test_what_a_file_says(name: str) -> None:
    lines, expected = FILES[name]
    key = " ".join(generate_host_key()[1].split()[:2])
    kind, encoded = key.split()
    assert look_up(lines(key), "ov-web", kind, encoded) is expected


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_openssh_and_we_agree(name: str, shared: Sshd, tmp_path: Path) -> None:
    """Both ways: strict, and with the first key accepted; the file is then the same."""
    text = FILES[name][0](" ".join(shared.host_key().split()[:2]))
    for strict in (True, False):
        theirs, ours = tmp_path / f"theirs-{strict}", tmp_path / f"ours-{strict}"
        for path in (theirs, ours):
            path.write_text(text)
        target = replace(shared.target, strict=strict)
        let_in = run_ssh(replace(target, known_hosts=theirs), ["true"], 30.0).returncode == 0
        try:
            connect(replace(target, known_hosts=ours)).close()
        except WrongHostKeyError:
            assert not let_in, strict
        else:
            assert let_in, strict
        assert ours.read_text() == theirs.read_text()


def test_hashed_names(shared: Sshd, tmp_path: Path) -> None:
    """As ssh-keygen -H leaves them."""
    path = tmp_path / "known_hosts"
    path.write_text(f"ov-web {' '.join(shared.host_key().split()[:2])}\n")
    call("ssh-keygen", "-q", "-H", "-f", path)
    assert path.read_text().startswith("|1|")
    connect(replace(shared.target, known_hosts=path)).close()
    assert not kinds(path.read_text(), "ov-other")


def test_kinds_are_asked_for_in_the_files_order() -> None:
    assert kinds(f"ov-web {RSA}\n@revoked * {OTHER}\nov-* {OTHER}\nov-web {OTHER}\n", "ov-web") == (
        "ssh-rsa",
        "ssh-ed25519",
    )


def test_the_first_key_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    remember(path, "ov-web", "ssh-ed25519", "AAAA")
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("ov-b ssh-ed25519 BBBB")
    remember(path, "ov-web", "ssh-ed25519", "AAAA")
    assert path.read_text() == "ov-b ssh-ed25519 BBBB\nov-web ssh-ed25519 AAAA\n"
