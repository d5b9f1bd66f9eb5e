"""Verifies OpenPGP signatures with ``gpgv``: no agent, no trust database, only the keys of one keyring."""

from __future__ import annotations

import base64
import binascii
import hashlib
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from ovtasks.errors import InputError, OvError
from ovtasks.host.run import run
from ovtasks.host.state import MAX_BYTES, read_input

_BEGIN = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
_END = "-----END PGP PUBLIC KEY BLOCK-----"
_STATUS = "[GNUPG:] "  # machine-readable lines, GnuPG's doc/DETAILS
# What makes a signature worthless, and the reason. gpgv itself accepts an expired key.
_BAD = {
    "BADSIG": "the signature is wrong: the file was changed after it was signed",
    "EXPSIG": "the signature has expired",
    "EXPKEYSIG": "the key that signed has expired: get the current keyring",
    "REVKEYSIG": "the key that signed was revoked: get the current keyring",
    "NODATA": "this is not an OpenPGP signature",
    "UNEXPECTED": "this is not an OpenPGP signature",
}
# Problems of one signature that leave others of the same file valid: publishers sign with an old and a new key.
_UNKNOWN = {
    "NO_PUBKEY": "the key that signed is not in the keyring",
    "ERRSIG": "the signature cannot be checked",
}


class SignatureError(OvError):
    """The signature is bad or missing."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A good signature.

    ``signer`` is the key's fingerprint and name; ``text`` is exactly what a clear-signed file signs.
    """

    signer: str
    text: str | None


def keyring_sha256(keyring: Path) -> str:
    """The digest of a keyring's content.

    :raises InputError: it cannot be read.
    """
    return hashlib.sha256(_read(keyring)).hexdigest()


def check(keyring: Path, signed: Path, signature: Path | None, shown: str, wanted: Collection[str] = ()) -> Signed:
    """Verify ``signed`` with its detached ``signature``, or as a clear-signed text if that is None.

    ``keyring`` holds public keys, binary or ASCII-armoured; ``shown`` names the signed file in errors. ``wanted`` are
    fingerprints of primary keys: one of them must have signed, if there are any.

    :raises InputError: the keyring is not one. :raises SignatureError: the signature is not good.
    """
    with tempfile.TemporaryDirectory(prefix="ov-gpgv-") as home:
        binary, output = Path(home, "keyring.gpg"), Path(home, "output")
        binary.write_bytes(dearmor(_read(keyring), keyring))
        files = [signed] if signature is None else [signature, signed]
        result = run(
            ["gpgv", "--homedir", home, "--keyring", binary, "--status-fd", "1", "--output", output, "--", *files],
            check=False,
            timeout=600,
        )
        words = [line.removeprefix(_STATUS).split() for line in result.stdout.splitlines() if line.startswith(_STATUS)]
        status = {word[0]: word[1:] for word in words if word}
        good = "GOODSIG" in status and "VALIDSIG" in status
        causes = _BAD if good else {**_BAD, **_UNKNOWN}
        problem = next((text for name, text in causes.items() if name in status), None)
        if problem is None and not (good and (result.returncode == 0 or not _UNKNOWN.keys().isdisjoint(status))):
            problem = "the signature cannot be checked: " + (result.stderr.strip().splitlines() or ["gpgv failed"])[-1]
        if problem is not None:
            key = (status.get("NO_PUBKEY") or status.get("BADSIG") or status.get("EXPKEYSIG") or [""])[0]
            raise SignatureError(
                f"{shown}: {problem}" + (f" (key {key})" if key else ""),
                hint=f"the keyring is {keyring}; gpg --show-keys lists its keys",
            )
        primary = {word[10] if len(word) > 10 else word[1] for word in words if word[:1] == ["VALIDSIG"]}
        if wanted and primary.isdisjoint(wanted):
            message = f"{shown}: signed by the key {' and '.join(primary)}, not by {' or '.join(wanted)}"
            raise SignatureError(message, hint="compare checksum.fingerprints with the distribution's own page")
        fingerprint, name = status["VALIDSIG"][0], " ".join(status["GOODSIG"][1:])
        text = output.read_text(encoding="utf-8", errors="replace") if signature is None else None
        return Signed(f"{fingerprint} {name}", text)


def dearmor(data: bytes, keyring: Path) -> bytes:
    """A keyring file in binary form; OpenPGP's ASCII armour (RFC 9580 §6) is decoded.

    :raises InputError: the file is empty, or its armour is damaged.
    """
    if not data.strip():
        raise InputError(f"the keyring {keyring} is empty", hint="export it with gpg --export")
    if not data.lstrip().startswith(b"-----BEGIN"):
        return data
    keys = b""
    block: list[str] | None = None
    for line in data.decode("ascii", errors="replace").splitlines():
        line = line.strip()
        if line == _BEGIN:
            block = []
        elif line == _END and block is not None:
            keys += _decode(block, keyring)
            block = None
        elif block is not None:
            block.append(line)
    if not keys:
        raise InputError(f"the keyring {keyring} holds no public key block", hint="export it with gpg --export --armor")
    return keys


def _decode(block: list[str], keyring: Path) -> bytes:
    """Decode one armoured block. Its headers end at an empty line; a line that begins with ``=`` is the checksum."""
    body = block[block.index("") + 1 :] if "" in block else block
    try:
        return base64.b64decode("".join(line for line in body if not line.startswith("=")), validate=True)
    except binascii.Error as e:
        raise InputError(f"the keyring {keyring} is damaged: {e}", hint="export it again") from e


def _read(keyring: Path) -> bytes:
    try:
        return read_input(keyring, MAX_BYTES)
    except OSError as e:
        raise InputError(f"cannot read the keyring {keyring}: {e.strerror}", hint="check checksum.keyring") from e
