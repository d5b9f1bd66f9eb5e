"""SSH keys: chooses the public keys that a VM gets, and makes key pairs for it.

Formats: sshd(8) "AUTHORIZED_KEYS FILE FORMAT"; RFC 4253 6.6 for the key blob; OpenSSH's own private key format.
"""

from __future__ import annotations

import base64
import binascii
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ovtasks.errors import InputError, Where
from ovtasks.host.files import write_atomic
from ovtasks.host.state import StateError, read_input, read_text

if TYPE_CHECKING:
    from ovtasks.project.model import Ssh


PRIVATE_NAME = "id_ed25519"
PUBLIC_NAME = "id_ed25519.pub"
GENERATE_HINT = "write `key_source: generate` to have a key pair made for the VM"
# ssh(1)'s own order of preference; hardware keys come after plain ones
_PREFERRED = ("id_ed25519.pub", "id_ed25519_sk.pub", "id_ecdsa.pub", "id_ecdsa_sk.pub", "id_rsa.pub")
_KEY = re.compile(
    r"(?:^|\s)(ssh-ed25519|ssh-rsa|ssh-dss|ecdsa-sha2-nistp(?:256|384|521)|sk-ssh-ed25519@openssh\.com"
    r"|sk-ecdsa-sha2-nistp256@openssh\.com)\s+(\S+)"
)
_MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class KeyChoice:
    """The outcome of ``ssh.key_source``.

    ``public`` is the file with the public keys (None: no key is injected), ``private`` the file to log in with (None:
    an agent or a token holds it). ``generated``: the pair is ours, and may have to be made first. ``keys`` are the
    lines of ``public``, empty as long as that file does not exist. ``reads`` are the files that decided the choice,
    including those that were looked for and are missing. ``note`` is a message for the user.
    """

    public: Path | None
    private: Path | None = None
    generated: bool = False
    keys: tuple[str, ...] = ()
    reads: tuple[Path, ...] = ()
    note: str | None = None


def resolve_keys(ssh: Ssh, directory: Path, *, where: Where | None = None) -> KeyChoice:
    """Follow ``ssh.key_source``. ``directory`` is the instance's folder, for a generated pair. Writes nothing.

    :raises InputError: the public key's file is missing, empty, not a public key, a private one, or a DSA key.
    """
    source = ssh.key_source
    if source == "none":
        return KeyChoice(None)
    if source == "generate":
        return _generated(directory)
    if source != "auto":
        return _from_file(Path(source), (), where)
    home = Path.home() / ".ssh"
    candidates = [home / name for name in _PREFERRED]
    looked_at: list[Path] = []
    for path in candidates:
        if path.is_file():
            return _from_file(path, tuple(looked_at), where)
        looked_at.append(path)
    looked_at.append(home)  # from here on, any new file in the folder changes the choice
    if others := sorted(p for p in home.glob("*.pub") if p.is_file()):
        return _from_file(others[0], tuple(looked_at), where)
    note = f"no public key in {home}: a key pair of the VM's own is used, {directory / PRIVATE_NAME}"
    return _generated(directory, tuple(looked_at), note)


def ensure_key_pair(directory: Path, comment: str) -> KeyChoice:
    """Make the ed25519 pair of ``key_source: generate`` in ``directory``, unless it is there already.

    The directory gets mode 0700, the private key 0600 (no passphrase), the public key 0644. A lost public key is
    computed from the private one. A public key whose private key is lost is useless, so both are made again.

    :raises InputError: the private key that is there cannot be read, or has a passphrase.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if directory.stat().st_mode & 0o077:
        directory.chmod(0o700)
    private, public = directory / PRIVATE_NAME, directory / PUBLIC_NAME
    if not private.exists():
        private_text, public_text = generate_key_pair(comment)
        write_atomic(private, private_text, mode=0o600)
        write_atomic(public, public_text)
    else:
        expected = _public_of(private)  # raises before the mode of a foreign file is changed
        if private.stat().st_mode & 0o077:
            private.chmod(0o600)
        if _words_of(public)[:2] != expected.split():
            write_atomic(public, f"{expected} {comment}\n")
    return _generated(directory)


def _words_of(public: Path) -> list[str]:
    try:
        return (read_text(public) or "").split()
    except StateError:
        return []


def generate_key_pair(comment: str) -> tuple[str, str]:
    """A new ed25519 pair: private key (OpenSSH's format, no passphrase) and public key line, each with its newline."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return private.decode(), f"{public.decode()} {comment}\n"


def generate_host_key(comment: str = "ov") -> tuple[str, str]:
    """An ed25519 pair for a guest's SSH server, in the form for ``SeedInput.host_key`` and ``known_hosts``.

    The public line has no newline at its end.
    """
    private, public = generate_key_pair(comment)
    return private, public.rstrip("\n")


def fingerprint(line: str) -> str:
    """The fingerprint of a public key's line, as ``ssh-keygen -l`` writes it (``SHA256:…``).

    If the line is not a public key, it is the digest of the text itself.
    """
    found = _KEY.search(line)
    try:
        blob = base64.b64decode(found[2], validate=True) if found else line.encode()
    except binascii.Error:
        blob = line.encode()
    import hashlib

    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def read_public_keys(path: Path, *, where: Where | None = None) -> tuple[str, ...]:
    """The key lines of a ``.pub`` or ``authorized_keys`` file, with options, without comments and empty lines.

    ``where`` is the place that names the file, for errors about the file as a whole.

    :raises InputError: as in :func:`resolve_keys`.
    """
    try:
        data = read_input(path, _MAX_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"the public key {path} does not exist", hint=GENERATE_HINT, where=where) from None
    except OSError as e:
        raise InputError(f"the public key {path} cannot be read: {e.strerror}", where=where) from None
    if len(data) > _MAX_BYTES:
        raise InputError(f"{path} is not a public key: it is larger than 1 MiB", where=where)
    if b"PRIVATE KEY-----" in data:
        beside = path.with_name(path.name + ".pub")
        name = f"name {beside} instead" if beside.is_file() else f"`ssh-keygen -y -f {path}` prints the public key"
        raise InputError(f"{path} is a private key; it must not leave this machine", hint=name, where=where)
    try:
        lines = data.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        raise InputError(f"{path} is not a public key: it is not text", hint=GENERATE_HINT, where=where) from None
    keys = []
    for number, line in enumerate(lines, 1):
        if (text := line.strip()) and not text.startswith("#"):
            check_public_key(text, Where(str(path), number))
            keys.append(text)
    if not keys:
        raise InputError(f"{path} holds no public key", hint=GENERATE_HINT, where=where)
    return tuple(keys)


def check_public_key(line: str, where: Where | None = None) -> None:
    """Check one line of an ``authorized_keys`` file: [options] type base64 [comment].

    :raises InputError: the line has another form, its key is damaged, or it is a DSA key, which OpenSSH refuses.
    """
    match = _KEY.search(_outside_quotes(line))
    if match is None:
        hint = "an OpenSSH public key reads like: ssh-ed25519 AAAA… name"
        if line.startswith("---- BEGIN SSH2"):
            hint = "this is RFC 4716's form; `ssh-keygen -i -f FILE` converts it"
        raise InputError("not an OpenSSH public key", hint=hint, where=where)
    kind, encoded = match.groups()
    if kind == "ssh-dss":
        raise InputError("DSA keys are refused by OpenSSH since 7.0", hint="ssh-keygen -t ed25519", where=where)
    try:
        blob = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        blob = b""
    # the blob repeats the type at its beginning, as a string after its length in 4 bytes
    if len(blob) <= 4 + len(kind) or blob[4 : 4 + int.from_bytes(blob[:4])] != kind.encode():
        raise InputError(f"the {kind} key is damaged", hint="copy the whole line once more", where=where)


def _outside_quotes(line: str) -> str:
    """The line with its quoted parts emptied: a command in the options may contain the name of a key type."""
    return re.sub(r'"(?:[^"\\]|\\.)*"', '""', line)


def _from_file(path: Path, looked_at: tuple[Path, ...], where: Where | None) -> KeyChoice:
    keys = read_public_keys(path, where=where)
    private = path.with_suffix("") if path.suffix == ".pub" else None
    return KeyChoice(
        path,
        private=private if private is not None and private.is_file() else None,
        keys=keys,
        reads=(*looked_at, path),
    )


def _generated(directory: Path, looked_at: tuple[Path, ...] = (), note: str | None = None) -> KeyChoice:
    public = directory / PUBLIC_NAME
    try:
        keys = read_public_keys(public) if public.is_file() and not public.is_symlink() else ()
    except InputError:  # damaged; it is computed again from the private key
        keys = ()
    return KeyChoice(public, directory / PRIVATE_NAME, generated=True, keys=keys, reads=looked_at, note=note)


def _public_of(private: Path) -> str:
    """``type base64`` of a private key's public half.

    :raises InputError: the file cannot be read, or holds no private key without a passphrase.
    """
    try:
        return public_half(read_text(private) or "")
    except (StateError, ValueError) as e:
        reason = e.reason if isinstance(e, StateError) else f"is not a private key without passphrase: {e}"
        quoted = shlex.quote(str(private))
        hint = f"move it away to get a new pair: mv {quoted} {quoted}.old"
        raise InputError(f"{private} {reason}", hint=hint) from None


def public_half(private: str) -> str:
    """``type base64`` of the public half of a private key's text.

    :raises ValueError: it is not a whole private key, or has a passphrase.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    try:
        key = serialization.load_ssh_private_key(private.encode(), password=None).public_key()
    except (TypeError, UnsupportedAlgorithm) as e:
        raise ValueError(str(e)) from None
    line = key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    body = base64.b64decode("".join(word for word in private.split("\n") if not word.startswith("-----")))
    if base64.b64decode(line.split()[1]) not in body:  # the file also stores the public half
        raise ValueError("its two halves are not of one key")
    return line
