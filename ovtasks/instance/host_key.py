"""The guest's SSH host key. It is made on the host, so that it is known before the first connection."""

from __future__ import annotations

import re
from pathlib import Path

from ovtasks.errors import OvError
from ovtasks.host.files import write_changed
from ovtasks.host.state import StateError, open_log, read_text
from ovtasks.instance.folder import Folder
from ovtasks.instance.keys import generate_host_key, public_half

_HINT = "`ov vm create` makes it again"
_PRIVATE = re.compile(rb"-----BEGIN OPENSSH PRIVATE KEY-----\n[A-Za-z0-9+/=\s]+-----END OPENSSH PRIVATE KEY-----")
_SEED_BYTES = 4 << 20
KINDS = ("ed25519", "ecdsa", "rsa")
"""Types of host keys, by their names in ssh-keyscan(1)."""


def ensure_host_key(folder: Folder, domain: str) -> tuple[str, str]:
    """The ed25519 pair of this instance (private key, public line), made on the first call.

    A damaged file is restored from what is left: the private key from the seed, the public key from the private one.
    """
    private, public = folder.host_key, folder.host_key.with_suffix(".pub")
    text = _usable(private) or _in_seed(folder)
    line = f"{public_half(text)} {domain}" if text else ""
    if not text:
        text, line = generate_host_key(domain)
    write_changed(private, text, mode=0o600)
    write_changed(public, line + "\n")
    return text, line


def _usable(private: Path) -> str | None:
    try:
        text = read_text(private)
        return text if text and public_half(text) else None
    except (StateError, ValueError):
        return None


def _in_seed(folder: Folder) -> str | None:
    """The private key in the seed. If its file is damaged, the guest still shows the key that it got from there."""
    try:
        with open_log(folder.seed) as file:
            found = _PRIVATE.search(file.read(_SEED_BYTES))
        text = "".join(f"{line.strip()}\n" for line in found[0].decode("ascii").splitlines()) if found else ""
        return text if text and public_half(text) else None
    except (OSError, StateError, ValueError):
        return None


def new_host_key(folder: Folder) -> None:
    """Remove the pair and the seed that contains it, because a fresh disk is a new machine."""
    for path in (folder.host_key, folder.host_key.with_suffix(".pub"), folder.known_hosts, folder.seed):
        path.unlink(missing_ok=True)


def scan(address: str, port: int, seconds: float) -> tuple[str, ...]:
    """The keys (``type base64``) that an SSH server shows, ed25519 first; empty if it shows none within ``seconds``."""
    from ovtasks.host.run import run

    argv = ["ssh-keyscan", "-T", str(max(1, round(seconds))), "-t", ",".join(KINDS), "-p", str(port), "--", address]
    found = {}
    for line in run(argv, check=False, timeout=len(KINDS) * (seconds + 10)).stdout.splitlines():
        words = line.split()
        if len(words) >= 3 and not line.startswith("#"):
            found[words[1]] = f"{words[1]} {words[2]}"
    return tuple(found[kind] for kind in sorted(found, key=lambda kind: (kind != "ssh-ed25519", kind)))


def prepared(folder: Folder) -> str:
    """The key that the guest was given (``type base64``).

    :raises OvError: its file is lost or damaged.
    """
    public = folder.host_key.with_suffix(".pub")
    try:
        words = (read_text(public) or "").split()[:2]
    except StateError as e:
        raise OvError(e.message, hint=_HINT) from None
    if len(words) < 2:
        raise OvError(f"{public} holds no public key", hint=_HINT)
    return " ".join(words)


def fingerprint(key: str) -> str:
    """The key's fingerprint, as ssh prints it (``SHA256:…``).

    :raises OvError: ``key`` is not ``type base64``.
    """
    import base64
    import hashlib

    words = key.split()
    if len(words) < 2:
        raise OvError("no SSH host key")
    return "SHA256:" + base64.b64encode(hashlib.sha256(base64.b64decode(words[1])).digest()).decode().rstrip("=")
