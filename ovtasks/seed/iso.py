"""Packs a NoCloud seed into an ISO 9660 image whose bytes depend on the files alone.

Formats: ECMA-119 (ISO 9660), its Joliet supplement, and the Rock Ridge Interchange Protocol on SUSP.
NoCloud (cloud-init's documentation, "NoCloud" data source) looks for a volume named ``cidata``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from io import BytesIO

from ovtasks.errors import InputError

VOLUME_ID = "cidata"
FILE_MODE = 0o100444
SECTOR = 2048
_FIRST_DESCRIPTOR = 16  # ECMA-119 6.3: sectors 0 to 15 are the system area
_DESCRIPTOR_END = 255
_DESCRIPTOR_DATES = 813  # ECMA-119 8.4.26: creation, modification, expiration, effective; 17 bytes each
_ROOT_RECORD = 156
_SET = b"1980010100000000\x00"  # the oldest date that FAT, ISO and ZIP tools all show
_UNSET = b"0000000000000000\x00"
_RECORD_DATE = bytes((80, 1, 1, 0, 0, 0, 0))  # years since 1900, month, day, h, m, s, offset from GMT


def seed_iso(files: Mapping[str, bytes]) -> bytes:
    """An image with ``files`` (plain names, no directories), read-only, dated 1980-01-01 GMT.

    Equal mappings give equal bytes, whatever the clock, the time zone or the order of the keys.

    :raises InputError: a name is empty, has a slash, or looks like another one in ISO 9660's alphabet.
    """
    import pycdlib

    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, vol_ident=VOLUME_ID, joliet=3, rock_ridge="1.09", app_ident_str=" ")
    seen: dict[str, str] = {}
    for name, data in sorted(files.items()):
        short = _iso_name(name)
        if (other := seen.setdefault(short, name)) != name:
            raise InputError(f"{name!r} and {other!r} are the same name on an ISO 9660 volume")
        iso.add_fp(
            BytesIO(data),
            len(data),
            iso_path=f"/{short}.;1",
            rr_name=name,
            joliet_path=f"/{name}",
            file_mode=FILE_MODE,
        )
    image = BytesIO()
    iso.write_fp(image)
    iso.close()
    dated = bytearray(image.getvalue())
    _fix_dates(dated)
    return bytes(dated)


def _iso_name(name: str) -> str:
    short = "".join(c for c in name.upper() if c.isascii() and c.isalnum())[:30]
    if not short or "/" in name or len(name) > 64:  # 64: Joliet's limit
        raise InputError(f"{name!r} cannot be a file name in a seed image")
    return short


def _fix_dates(image: bytearray) -> None:
    """Replace the current local time, which the writer stamps on everything, by fixed dates.

    This is done on the finished bytes: patching a clock would hit other threads that write an image.
    """
    for start in _descriptors(image):
        dates = start + _DESCRIPTOR_DATES
        image[dates : dates + 68] = _SET + _SET + _UNSET + _UNSET
        root = start + _ROOT_RECORD
        _fix_record(image, root)
        extent = int.from_bytes(image[root + 2 : root + 6], "little") * SECTOR
        length = int.from_bytes(image[root + 10 : root + 14], "little")
        for record in _records(image, extent, length):
            _fix_record(image, record)


def _descriptors(image: bytearray) -> Iterator[int]:
    """Offsets of the primary (type 1) and supplementary (type 2: Joliet) volume descriptors."""
    start = _FIRST_DESCRIPTOR * SECTOR
    while image[start] != _DESCRIPTOR_END:
        if image[start] in {1, 2}:
            yield start
        start += SECTOR


def _records(image: bytearray, extent: int, length: int) -> Iterator[int]:
    """Offsets of the directory records of one directory; a record never crosses a sector (ECMA-119 6.8.1.1)."""
    offset = extent
    while offset < extent + length:
        size = image[offset]
        if size:
            yield offset
            offset += size
        else:
            offset = (offset // SECTOR + 1) * SECTOR


def _fix_record(image: bytearray, record: int) -> None:
    """Fix the dates of one directory record (ECMA-119 9.1) and of its system use area."""
    image[record + 18 : record + 25] = _RECORD_DATE
    name_length = image[record + 32]
    area = record + 33 + name_length + (1 - name_length % 2)
    _fix_system_use(image, area, record + image[record])


def _fix_system_use(image: bytearray, start: int, end: int) -> None:
    """SUSP entries: two letters, length, version, data. TF holds stamps; CE continues the area elsewhere."""
    while start + 4 <= end and (size := image[start + 2]) >= 4:
        kind = bytes(image[start : start + 2])
        if kind == b"TF":
            # RRIP 4.1.6: flags, then short (7 byte) stamps; the writer never sets flag 0x80 for long ones
            stamps = (size - 5) // 7
            image[start + 5 : start + 5 + 7 * stamps] = _RECORD_DATE * stamps
        elif kind == b"CE":
            # SUSP 5.1: sector, offset, length, each in both byte orders
            block, offset, length = (int.from_bytes(image[start + at : start + at + 4], "little") for at in (4, 12, 20))
            area = block * SECTOR + offset
            _fix_system_use(image, area, area + length)
        start += size
