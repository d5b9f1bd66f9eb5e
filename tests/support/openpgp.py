"""OpenPGP key pairs, made by gpg for a test."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path

from tests.support.programs import attempt, call


class Signer:
    """A key pair in a home of its own."""

    def __init__(self, home: Path, name: str, *when: str, expires: str = "never") -> None:
        self.home = home / name
        self.home.mkdir(mode=0o700)
        self.keyring = self.home / "public.gpg"
        new = [*when, "--quick-generate-key", f"{name} <{name}@example.org>", "ed25519", "sign", expires]
        self.gpg("--batch", "--passphrase", "", *new)
        self.gpg("--output", str(self.keyring), "--export")

    def gpg(self, *words: str, data: bytes = b"") -> bytes:
        env = {**os.environ, "GNUPGHOME": str(self.home)}
        return os.fsencode(call("gpg", "--batch", "--yes", "--quiet", *words, stdin=data, env=env).stdout)

    def armoured(self) -> Path:
        path = self.home / "public.asc"
        path.write_bytes(self.gpg("--armor", "--export"))
        return path

    @cached_property
    def fingerprint(self) -> str:
        """Of the primary key."""
        listed = self.gpg("--list-keys", "--with-colons").decode().splitlines()
        return next(line.split(":")[9] for line in listed if line.startswith("fpr"))

    def signature_of(self, data: bytes, *words: str) -> bytes:
        """A detached signature as bytes, which gpg writes into a file: it need not be text."""
        sealed, made = self.home / "sealed", self.home / "sealed.sig"
        sealed.write_bytes(data)
        self.gpg(*words, "--output", str(made), "--detach-sign", str(sealed))
        return made.read_bytes()

    def end(self) -> None:
        attempt("gpgconf", "--homedir", self.home, "--kill", "all")
