"""The guest's SSH host key: made here, so that it is known before the first connection."""

from __future__ import annotations

import base64
import hashlib

from ovtasks.errors import OvError
from ovtasks.host.files import write_atomic
from ovtasks.host.run import run
from ovtasks.instance.folder import Folder
from ovtasks.instance.keys import generate_host_key

KINDS = ("ed25519", "ecdsa", "rsa")
"""Of host keys, as ssh-keyscan(1) calls them."""


def ensure_host_key(folder: Folder, domain: str) -> tuple[str, str]:
    """The ed25519 pair of this instance (private, public line), made on the first call."""
    private, public = folder.host_key, folder.host_key.with_suffix(".pub")
    if not (private.exists() and public.exists()):
        texts = generate_host_key(domain)
        write_atomic(private, texts[0], mode=0o600)
        write_atomic(public, texts[1] + "\n")
    return private.read_text(encoding="utf-8"), public.read_text(encoding="utf-8").rstrip("\n")


def new_host_key(folder: Folder) -> None:
    """Forget the pair: a fresh disk is a new machine."""
    for path in (folder.host_key, folder.host_key.with_suffix(".pub"), folder.known_hosts):
        path.unlink(missing_ok=True)


def scan(address: str, port: int, seconds: float) -> tuple[str, ...]:
    """The keys (``type base64``) that an SSH server shows, ed25519 first; none: it shows none in that time."""
    argv = ["ssh-keyscan", "-T", str(max(1, round(seconds))), "-t", ",".join(KINDS), "-p", str(port), "--", address]
    found = {}
    for line in run(argv, check=False, timeout=len(KINDS) * (seconds + 10)).stdout.splitlines():
        words = line.split()
        if len(words) >= 3 and not line.startswith("#"):
            found[words[1]] = f"{words[1]} {words[2]}"
    return tuple(found[kind] for kind in sorted(found, key=lambda kind: (kind != "ssh-ed25519", kind)))


def prepared(folder: Folder) -> str:
    """The key that the guest was given (``type base64``).

    :raises OvError: it is lost.
    """
    public = folder.host_key.with_suffix(".pub")
    try:
        return " ".join(public.read_text(encoding="utf-8").split()[:2])
    except (OSError, UnicodeError) as e:
        raise OvError(f"{public} cannot be read: {e}", hint="`ov vm create` makes it anew") from e


def fingerprint(key: str) -> str:
    """``SHA256:…`` as ssh prints it."""
    words = key.split()
    if len(words) < 2:
        raise OvError("no SSH host key")
    return "SHA256:" + base64.b64encode(hashlib.sha256(base64.b64decode(words[1])).digest()).decode().rstrip("=")
