"""Whether cloud-init can decode the files it is to write: one that it cannot decode would be missing in the guest.

The encodings are those of cloud-init's module ``write_files`` (``cc_write_files.py``).
"""

from __future__ import annotations

import base64
import binascii
import gzip
import zlib
from collections.abc import Iterator

from ovtasks.errors import InputError
from ovtasks.project.declared import DeclaredVm

PATH = ("cloud_init", "write_files")
_BASE64 = frozenset({"b64", "base64"})
_GZIP = frozenset({"gz", "gzip"})


def encoded_rules(vm: DeclaredVm) -> Iterator[InputError]:
    """``content`` is what ``encoding`` says."""
    for index, item in enumerate(vm.list(*PATH)):
        if not isinstance(item, dict):
            continue
        content, encoding = item.get("content", ""), item.get("encoding")
        if not isinstance(content, str) or not isinstance(encoding, str):
            continue
        if (wrong := _wrong(content, frozenset(encoding.split("+")))) is not None:
            what, hint = wrong
            where = "content" if "content" in item else "encoding"
            yield vm.error(f"the content is not {what}: encoding is {encoding}", *PATH, index, where, hint=hint)


def _wrong(content: str, forms: frozenset[str]) -> tuple[str, str] | None:
    """What the content is not, and the command that makes it."""
    if not forms & (_BASE64 | _GZIP):
        return None
    if not forms & _BASE64:
        return "gzip", "encoding: gz+b64, and as content what `gzip -c FILE | base64 -w0` prints"
    try:
        data = base64.b64decode(content)  # as cloud-init: characters outside of the alphabet are passed over
    except (binascii.Error, ValueError):
        return "base64", "base64 -w0 FILE prints it; or remove encoding"
    if forms & _GZIP:
        try:
            gzip.decompress(data)
        except (OSError, EOFError, zlib.error):
            return "gzip in base64", "gzip -c FILE | base64 -w0 prints it; or remove gz from encoding"
    return None
