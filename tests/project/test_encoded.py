"""Files for the guest whose encoding and content do not fit would be missing there: they are an error."""

from __future__ import annotations

import base64
import gzip
from pathlib import Path

import pytest

from tests.support.projects import CLOUD, errors_of, one, place

TEXT = base64.b64encode(b"hello, world!").decode()
PACKED = base64.b64encode(gzip.compress(b"hello")).decode()


def declared(content: str, encoding: str) -> str:
    files = f"[{{path: /etc/a}}, {{path: /etc/b, content: '{content}', encoding: {encoding}}}]"
    return f"vms:\n  a:\n    source: {CLOUD}\n    disk_size: 20G\n    cloud_init:\n      write_files: {files}\n"


@pytest.mark.parametrize(
    ("content", "encoding", "what"),
    [
        ("hello", "b64", "not base64"),
        (TEXT[:-3], "base64", "not base64"),
        ("ünlesbar", "b64", "not base64"),
        ("hello", "gz", "not gzip"),
        (PACKED, "gzip", "not gzip"),
        (TEXT, "gz+b64", "not gzip in base64"),
        (PACKED[:20], "gzip+base64", "not gzip in base64"),
        ("hello", "gz+base64", "not base64"),
        ("", "gzip+b64", None),
        ("hello", "text/plain", None),
        ("", "b64", None),
        (TEXT, "b64", None),
        (f"{TEXT[:4]} {TEXT[4:]}", "base64", None),
        (PACKED, "gz+b64", None),
        (PACKED, "gzip+b64", None),
    ],
)
def test_content_and_encoding(tmp_path: Path, content: str, encoding: str, what: str | None) -> None:
    found = errors_of(tmp_path, declared(content, encoding))
    if what is None:
        assert found == []
        return
    error = one(found)
    assert error.message == f"the content is {what}: encoding is {encoding}"
    assert "base64 -w0" in (error.hint or "") and error.exit_code == 2
    assert place(error)[:2] == ("vms.yml", 6)
