"""The guest's SSH host key: made here, so that it is known before the first connection."""

from __future__ import annotations

import base64
import hashlib

from ovtasks.errors import OvError
from ovtasks.host.files import write_atomic
from ovtasks.host.run import run
from ovtasks.instance.folder import Folder
from ovtasks.instance.keys import generate_host_key
from ovtasks.instance.record import HostKey, Record


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


def scan(address: str, port: int, seconds: float) -> str | None:
    """The ed25519 key (``type base64``) that an SSH server shows; None: it shows none in that time."""
    argv = ["ssh-keyscan", "-T", str(max(1, round(seconds))), "-t", "ed25519", "-p", str(port), address]
    for line in run(argv, check=False, timeout=seconds + 10).stdout.splitlines():
        words = line.split()
        if len(words) >= 3 and words[1] == "ssh-ed25519":
            return f"{words[1]} {words[2]}"
    return None


def judge(record: Record, shown: str) -> HostKey:
    """What to make of the key that the guest shows at first contact."""
    expected = record.folder.host_key.with_suffix(".pub").read_text(encoding="utf-8").split()[:2]
    return HostKey.CONFIRMED if shown.split() == expected else HostKey.ACCEPTED


def fingerprint(key: str) -> str:
    """``SHA256:…`` as ssh prints it."""
    words = key.split()
    if len(words) < 2:
        raise OvError("no SSH host key")
    return "SHA256:" + base64.b64encode(hashlib.sha256(base64.b64decode(words[1])).digest()).decode().rstrip("=")
