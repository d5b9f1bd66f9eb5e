"""Downloads: the cache on this machine, archives, and what comes of them in the guest."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from ovtasks.errors import InputError, OvError
from ovtasks.layers.downloads import Downloads
from ovtasks.layers.events import What
from ovtasks.layers.guest import look
from ovtasks.layers.plan import LayerPlan, complete
from tests.support.layers import LocalShell, plan, print_of
from tests.support.server import Site, serve


class Notes:
    """Progress that remembers."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def update(self, done: int, total: int | None, unit: str = "B") -> None:
        pass


def tree(*, link: str = "tool") -> bytes:
    """A tar with a program, a text, a link and a second name of the program."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content, mode in (("top-1/bin/tool", b"#!/bin/sh\n", 0o755), ("top-1/doc/read me", b"read", 0o600)):
            info = tarfile.TarInfo(f"./{name}")
            info.size, info.mode, info.mtime, info.uid = len(content), mode, 1_000_000_000, 4711
            tar.addfile(info, io.BytesIO(content))
        for name, kind, target in (
            ("top-1/bin/alias", tarfile.SYMTYPE, link),
            ("top-1/bin/same", tarfile.LNKTYPE, "./top-1/bin/tool"),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            tar.addfile(info)
    return out.getvalue()


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        info = zipfile.ZipInfo("top-1/bin/tool")
        info.external_attr = 0o755 << 16
        archive.writestr(info, b"#!/bin/sh\n")
        archive.writestr("top-1/doc/read me", b"read")
    return out.getvalue()


def damaged(content: bytes) -> bytes:
    """The zip, its first file compressed into nonsense."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", source.read("top-1/doc/read me") * 1000)
    data = bytearray(out.getvalue())
    data[31:41] = b"\xff" * 10  # behind the header of 30 bytes and the name
    return bytes(data)


def locked(content: bytes) -> bytes:
    """The zip, its files marked as encrypted."""
    data = bytearray(content)
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = data.find(mark)
        while place >= 0:
            data[place + at] |= 1
            place = data.find(mark, place + 4)
    return bytes(data)


PACKERS: dict[str, Callable[[], bytes]] = {
    "tar": tree,
    "tar.gz": lambda: gzip.compress(tree()),
    "tar.zst": lambda: zstandard.compress(tree()),
    "zip": zipped,
}


def sums(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def fetched(folder: Path, text: str, notes: Notes | None = None) -> LayerPlan:
    return complete(plan(folder, text), Downloads(notes or Notes(), folder / "cache"))


@pytest.mark.parametrize("how", PACKERS)
def test_an_archive(how: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    (root / "bin/tool").write_text("before")
    before = print_of(root)
    content = PACKERS[how]()
    with serve(Site({f"/tool.{how}": content})) as site:
        text = f"""
name: a
tasks:
  - download: {site.url}/tool.{how}
    checksum: {sums(content)}
    to: {root}
    strip_components: 1
    user: "${{USER}}"
"""
        layer = fetched(tmp_path, text)
        again = fetched(tmp_path, text)
        assert len(site.gets(f"/tool.{how}")) == 1 and again.digest == layer.digest == plan(tmp_path, text).digest
    guest = LocalShell(tmp_path)
    guest.apply(layer)
    assert os.access(root / "bin/tool", os.X_OK) and (root / "doc/read me").read_text() == "read"
    assert (root / "doc/read me").stat().st_mode & 0o777 == 0o644
    assert (root / "bin/tool").stat().st_uid == os.geteuid()
    if how != "zip":
        assert (root / "bin/alias").is_symlink() and (root / "bin/same").read_bytes() == b"#!/bin/sh\n"
    assert guest.apply(layer) == [(What.SAME, layer.operations[0].name)]
    (root / "doc/read me").write_text("other")
    assert [event.what for event in look(guest, ["a"], how=guest.how)] == [What.DIFFERS]
    guest.apply(layer)
    guest.undo("a")
    assert print_of(root) == before


def test_files_scripts_and_members(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    files = {"/t.tar.gz": gzip.compress(tree()), "/f.gz": gzip.compress(b"one"), "/run.sh": b'echo "$WHO" >"$TO"\n'}
    with serve(Site(files)) as site:
        text = f"""
name: a
tasks:
  - {{download: "{site.url}/t.tar.gz", checksum: "{sums(files["/t.tar.gz"])}", to: {root}/all, include: [tool, "doc/*"],
     strip_components: 1, mode: "0700", user: "${{USER}}"}}
  - {{download: "{site.url}/f.gz", sha256: "{sums(files["/f.gz"])[7:]}", to: {root}/, mode: "0755", user: "${{USER}}"}}
  - {{download: "{site.url}/f.gz", sha256: "{sums(files["/f.gz"])[7:]}", extract: none, to: {root}/f.gz,
     user: "${{USER}}", uninstall: [{root}/leftover]}}
  - {{download: "{site.url}/run.sh", checksum: "{sums(files["/run.sh"])}", extract: sh, to: {root},
     env: {{WHO: me, TO: "{root}/said"}}, user: "${{USER}}", uninstall: ["rm {root}/said"]}}
"""
        layer = fetched(tmp_path, text)
    guest = LocalShell(tmp_path)
    guest.apply(layer)
    found = print_of(root)
    assert sorted(found) == ["all", "all/bin", "all/bin/tool", "all/doc", "all/doc/read me", "f", "f.gz", "said"]
    assert (root / "all/doc/read me").stat().st_mode & 0o777 == 0o700
    assert (root / "f").read_text() == "one" and os.access(root / "f", os.X_OK)
    assert (root / "f.gz").read_bytes() == files["/f.gz"] and (root / "said").read_text() == "me\n"
    (root / "leftover").write_text("")
    guest.undo("a")
    assert print_of(root) == {}


def test_what_is_refused(tmp_path: Path) -> None:
    evil = io.BytesIO()
    with tarfile.open(fileobj=evil, mode="w") as tar:
        link = tarfile.TarInfo("etc")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        tar.addfile(link)
        tar.addfile(tarfile.TarInfo("etc/passwd"), io.BytesIO())
    outside = io.BytesIO()
    with tarfile.open(fileobj=outside, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("../up"), io.BytesIO())
    files = {"/evil.tar": evil.getvalue(), "/out.tar": outside.getvalue(), "/bad.tar": b"no tar", "/ok.tar": tree()}
    files["/empty"] = b""
    files["/bad.tar.zst"], files["/bad.zip"] = zstandard.compress(tree())[:-20] + b"x" * 20, damaged(zipped())
    files["/locked.zip"] = locked(zipped())
    with serve(Site(files)) as site:

        def error(name: str, digest: str | None = None, more: str = "") -> OvError:
            checksum = digest or sums(files[name])
            task = f'{{download: "{site.url}{name}", checksum: "{checksum}", to: /x, user: "${{USER}}"{more}}}'
            with pytest.raises(OvError) as caught:
                fetched(tmp_path, f"name: a\ntasks:\n  - {task}\n")
            assert caught.value.where is not None and caught.value.where.line == 3
            return caught.value

        assert "below a link" in error("/evil.tar").message
        assert "leads out" in error("/out.tar").message
        for name in ("/bad.tar", "/bad.tar.zst", "/bad.zip", "/locked.zip"):
            assert "damaged" in error(name).message
        assert "nothing of what is wanted" in error("/ok.tar", more=", include: [other]").message
        assert "is empty" in error("/empty").message
        wrong = error("/ok.tar", "sha256:" + "0" * 64)
        assert sums(files["/ok.tar"]) in wrong.message and "write its checksum" in (wrong.hint or "")
        assert not list((tmp_path / "cache").glob("*.part")) and not list((tmp_path / "cache").glob("*.tar*"))
        with pytest.raises(InputError, match="not protected"):
            fetched(tmp_path, f'name: a\ntasks: [{{download: "{site.url}/ok.tar", to: /x}}]\n')
        with pytest.raises(InputError, match="not a web address"):
            fetched(tmp_path, 'name: a\ntasks: [{download: "file:///etc/passwd", to: /x}]\n')


def test_a_broken_download_is_resumed(tmp_path: Path) -> None:
    content = os.urandom(3 << 20)
    text = f'name: a\ntasks: [{{download: "URL/big", checksum: "{sums(content)}", to: /x, user: "${{USER}}"}}]\n'
    site = Site({"/big": content}, faults={"/big": ["drop:2000000"] * 1})
    with serve(site):
        notes = Notes()
        fetched(tmp_path, text.replace("URL", site.url), notes)
        ranges = [headers.get("Range") for headers in site.gets("/big")]
    assert ranges[0] is None and ranges[1] is not None
    assert notes.notes[0].startswith("downloading ")
