"""Checksum files as publishers write them."""

from __future__ import annotations

import os

import pytest

from ovtasks.images.checksums import candidates, decode, find_digest, listed_checksum_files, strip_armor

A, B = "a" * 64, "b" * 64
L, M = "c" * 128, "d" * 128
BOTH = ("sha256", "sha512")

# name of the image, text, whether the file is the image's own, kinds, what it says
PUBLISHERS = {
    "openSUSE: its own file names the build": (
        "openSUSE-Leap-15.6-Minimal-VM.x86_64-Cloud.qcow2",
        f"{A}  openSUSE-Leap-15.6-Minimal-VM.x86_64-15.6.0-Cloud-Build19.64.qcow2\n",
        True,
        f"sha256:{A}",
    ),
    "FreeBSD": (
        "FreeBSD-14.2-RELEASE-amd64-BASIC-CLOUDINIT-ufs.qcow2.xz",
        f"SHA512 (FreeBSD-14.2-RELEASE-amd64-ufs.qcow2.xz) = {M}\n"
        f"SHA512 (FreeBSD-14.2-RELEASE-amd64-BASIC-CLOUDINIT-ufs.qcow2.xz) = {L}\n",
        False,
        f"sha512:{L}",
    ),
    "OpenBSD": ("miniroot77.img", f"SHA256 (cd77.iso) = {B}\nSHA256 (miniroot77.img) = {A}\n", False, f"sha256:{A}"),
    "Gentoo": (
        "di-amd64-cloudinit-20250105T170325Z.qcow2",
        f"# BLAKE2B HASH\n{M}  di-amd64-cloudinit-20250105T170325Z.qcow2\n"
        f"# SHA512 HASH\n{L}  di-amd64-cloudinit-20250105T170325Z.qcow2\n",
        True,
        f"sha512:{L}",
    ),
    "Gentoo, the other order, with contents": (
        "disk.qcow2",
        f"# SHA512 HASH\n{L}  disk.qcow2\n{M}  disk.qcow2.CONTENTS.gz\n# WHIRLPOOL HASH\n{M}  disk.qcow2\n",
        True,
        f"sha512:{L}",
    ),
    "Flatcar": (
        "flatcar_production_qemu_image.img.bz2",
        f"# MD5 HASH\n{'e' * 32}  flatcar_production_qemu_image.img.bz2\n# SHA1 HASH\n{'e' * 40}  "
        f"flatcar_production_qemu_image.img.bz2\n# SHA512 HASH\n{L}  flatcar_production_qemu_image.img.bz2\n",
        True,
        f"sha512:{L}",
    ),
    "Alpine": ("nocloud_alpine-3.21.0-x86_64-bios-cloudinit-r0.qcow2", L, True, f"sha512:{L}"),
    "Rocky": (
        "Rocky-9-GenericCloud.latest.x86_64.qcow2",
        f"# Rocky-9-GenericCloud-Base-9.5-20241118.0.x86_64.qcow2: 609812480 bytes\n"
        f"SHA256 (Rocky-9-GenericCloud-Base-9.5-20241118.0.x86_64.qcow2) = {B}\n"
        f"# Rocky-9-GenericCloud.latest.x86_64.qcow2: 609812480 bytes\n"
        f"SHA256 (Rocky-9-GenericCloud.latest.x86_64.qcow2) = {A}\n",
        False,
        f"sha256:{A}",
    ),
    "only the dated name": (
        "AlmaLinux-9-GenericCloud-latest.x86_64.qcow2",
        f"{B}  AlmaLinux-9-OpenNebula-9.5-20241120.x86_64.qcow2\n"
        f"{A}  AlmaLinux-9-GenericCloud-9.5-20241120.x86_64.qcow2\n",
        False,
        f"sha256:{A}",
    ),
    "dated, with a time": ("img-amd64.qcow2", f"{A}  img-20250105T170325Z-amd64.qcow2\n", False, f"sha256:{A}"),
    "dated, twice": ("img.qcow2", f"{A}  img-20240101.qcow2\n{B}  img-20250101.qcow2\n", False, None),
    "dated, the same twice": (
        "img.qcow2",
        f"{A}  img-20240101.qcow2\n{A}  img-2024.qcow2\n",
        False,
        f"sha256:{A}",
    ),
    "another architecture": ("img-amd64.qcow2", f"{A}  img-20240101-arm64.qcow2\n", False, None),
    "another flavour": ("img-amd64.qcow2", f"{A}  img-minimal-amd64.qcow2\n", False, None),
    "its exact name wins over a dated one": ("i.img", f"{B}  i-20240101.img\n{A}  i.img\n", False, f"sha256:{A}"),
    "Ubuntu": ("noble-server-cloudimg-amd64.img", f"{A} *noble-server-cloudimg-amd64.img\n", False, f"sha256:{A}"),
    "Debian": ("debian-12-generic-amd64.qcow2", f"{L}  debian-12-generic-amd64.qcow2\n", False, f"sha512:{L}"),
    "tab": ("disk.img", f"{A}\tdisk.img\n", False, f"sha256:{A}"),
    "tabs and a star": ("disk.img", f"{A}\t\t*disk.img\n", False, f"sha256:{A}"),
    "one blank": ("disk.img", f"{A} disk.img\n", False, f"sha256:{A}"),
    "many blanks": ("disk.img", f"  {A}     disk.img  \n", False, f"sha256:{A}"),
    "upper case": ("disk.img", f"{A.upper()}  disk.img\n", False, f"sha256:{A}"),
    "absolute path": ("disk.img", f"{A}  /srv/images/today/disk.img\n", False, f"sha256:{A}"),
    "folder": ("disk.img", f"{A}  ./images/disk.img\n{B}  ./images/other.img\n", False, f"sha256:{A}"),
    "folders of two": ("disk.img", f"{A}  a/disk.img\n{B}  b/disk.img\n", False, None),
    "here before elsewhere": ("disk.img", f"{B}  old/disk.img\n{A}  disk.img\n", False, f"sha256:{A}"),
    "Windows path": ("disk.img", f"{A}  C:\\images\\disk.img\n", False, f"sha256:{A}"),
    "BSD, in a folder": ("disk.img", f"SHA256 (./out/disk.img) = {A}\n", False, f"sha256:{A}"),
    "BSD, tight": ("disk.img", f"SHA256(disk.img)={A}\n", False, f"sha256:{A}"),
    "openssl": ("disk.img", f"SHA2-512(disk.img)= {L}\n", False, f"sha512:{L}"),
    "lower case tag": ("disk.img", f"sha256 (disk.img) = {A}\n", False, f"sha256:{A}"),
    "tag of another length": ("disk.img", f"SHA512 (disk.img) = {A}\n", False, None),
    "typed": ("disk.img", f"sha256:{A}  disk.img\n", False, f"sha256:{A}"),
    "bare and typed": ("disk.img", f"sha512:{L}\n", True, f"sha512:{L}"),
    "blank in the name": ("my disk.img", f"{A}  my disk.img\n", False, f"sha256:{A}"),
    "brackets in the name": ("disk (1).img", f"SHA256 (disk (1).img) = {A}\n", False, f"sha256:{A}"),
    "backslash in the name": ("a\\b.img", f"\\{A}  a\\\\b.img\n", False, f"sha256:{A}"),
    "own, of something else, among others": ("disk.img", f"{A}  x.img\n{B}  y.img\n", True, None),
}


@pytest.mark.parametrize("name", PUBLISHERS)
@pytest.mark.parametrize("written", ["plain", "mark and CRLF", "clear-signed"])
def test_publishers(name: str, written: str) -> None:
    image, text, own, digest = PUBLISHERS[name]
    if written == "mark and CRLF":
        text = decode(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    elif written == "clear-signed":
        body = "\n".join(f"- {line}" if line.startswith("-") else line for line in text.splitlines())
        signature = "-----BEGIN PGP SIGNATURE-----\n\nxyz\n-----END PGP SIGNATURE-----\n"
        text = strip_armor(f"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{body}\n{signature}")
    assert find_digest(text, [image], BOTH, own=own) == digest


def test_name_after_a_redirect_counts_too() -> None:
    text = f"{A}  disk-2024.qcow2\n"
    assert find_digest(text, ["latest", "disk-2024.qcow2"], BOTH, own=False) == f"sha256:{A}"


def test_places_of_publishers() -> None:
    places = {candidate.url.rpartition("/")[2] for candidate in candidates("https://h/x/disk.img")}
    for name in ("disk.img.DIGESTS", "disk.img.CHECKSUM", "CHECKSUM.SHA512", "SHA256", "SHA512", "sha512sum.txt"):
        assert name in places, name


LISTING = """<a href="../">up</a> <a href='disk.img'>d</a> <a href=my-SHA256SUMS>s</a> <a href="X-CHECKSUM?x=1">q</a>
<a href="http://other/CHECKSUM">o</a> <a href="sub/SHA512SUMS">n</a> <a href="http://[bad/SHA256">b</a>
<a href="sha256sums.txt">t</a> <a href="SHA256SUMS.gpg">g</a> <a href="/d/release.sha512">r</a>"""


def test_index_pages() -> None:
    found = [link.rpartition("/")[2] for link in listed_checksum_files(LISTING, "http://h/d/")]
    assert found == ["X-CHECKSUM?x=1", "my-SHA256SUMS", "release.sha512", "sha256sums.txt"]


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (f"{A}  *.img\n", "*.img"),
        (f"{A} **.img\n", "*.img"),
        (f"{A}  *disk.img\n", "disk.img"),  # two blanks and the mark of binary files
        (f"{A}\t*disk.img\n", "disk.img"),
        (f"{A}   disk.img\n", "disk.img"),
        (f"{A}   disk.img \n", " disk.img "),
        (f"{A}  *disk.img\n{B}  disk.img\n", "*disk.img"),
        (f"SHA256 (*.img) = {A}\n", "*.img"),
    ],
)
def test_stars_and_blanks_of_a_name(line: str, name: str) -> None:
    assert find_digest(line, [name], BOTH, own=False) == f"sha256:{A}"


@pytest.mark.parametrize("name", [b"syst\xe8me.img", b"\xff.img", "système.img".encode()])
def test_a_name_in_any_encoding(name: bytes) -> None:
    text = decode(f"{B}  other.img\n{A}  ".encode() + name + b"\n")
    assert find_digest(text, [os.fsdecode(name)], BOTH, own=False) == f"sha256:{A}"
