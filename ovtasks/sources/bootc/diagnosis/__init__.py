"""Turns a failed installation into an error with a next step. The messages are in :mod:`.signs`."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

from ovtasks.containers.diagnosis import diagnose as diagnose_podman
from ovtasks.errors import InputError, OvError, Where
from ovtasks.host.command_error import TAIL_LINES
from ovtasks.host.run import CommandError
from ovtasks.sources.bootc.diagnosis.signs import ENLARGE, SIGNS, SPACE, STAGES
from ovtasks.values.sizes import GiB, MiB, format_size

FULL = 64 * MiB
_CODES = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
# log lines of lower rank than a warning; progress as JSON; the version lines of mke2fs and mkfs.fat; empty lines
_NOISE = re.compile(
    r"\s*(?:\d{4}-\d\d-\d\d[T ]\S+\s+)?(?:TRACE|DEBUG|INFO)\b|\s*\{.*\}\s*$|\s*mke2fs \d|\s*mkfs\.fat \d|\s*$"
)
_ERROR = re.compile(r"\s*(?:\S+Z\s+)?(?:error|ERROR|Error)\b:?\s")
_LONGEST = 600  # characters of one quoted line
_AMOUNT = re.compile(r"(\d+(?:[.,]\d+)?)\s*([kKMGTP]?)(i?)(?:B|bytes?)\b")
_POWERS = "kMGTP"
_BEFORE = 3  # lines


@dataclass(frozen=True)
class Sizes:
    """The wanted sizes in bytes. ``disk`` None: not known. ``root`` None: the whole disk."""

    disk: int | None = None
    root: int | None = None


EVERYTHING = "the log has the full output"


def diagnose(error: CommandError, folder: Path, where: Where, sizes: Sizes = Sizes()) -> OvError:
    """The installer's failure as an error with a next step. ``folder`` holds the disk."""
    if shutil.disk_usage(folder if folder.is_dir() else folder.parent).free < FULL:
        hint = f"the raw disk and the qcow2 need room side by side in {folder.parent}: ov gc, podman image prune"
        return OvError(f"the disk filled up while {folder.parent.parent.name} was installed", hint=hint)
    lines = spoken(error.stderr)
    blamed = last_error(lines)
    for part in (blamed, lines):
        if found := _known(part, where, sizes):
            return found
    explained = diagnose_podman(error)
    if explained is not error:
        return explained
    return _unknown(error, lines, blamed)


def _unknown(error: CommandError, lines: list[str], blamed: list[str]) -> OvError:
    """An error that no sign explains: how far the installer came, with the last lines before its error.

    The program that failed often said more, just before, than the installer that reports it.
    """
    if not blamed:
        if error.returncode in {-9, 137}:
            hint = f"there may be too little memory (dmesg shows it); {EVERYTHING}"
            return OvError("the installer was killed", hint=hint)
        said = f":{_quoted(lines)}" if lines else ", and said nothing"
        return OvError(f"the installer failed (status {error.returncode}){said}", hint=EVERYTHING)
    stage = next((row for row in STAGES if re.search(row.pattern, blamed[0])), None)
    message = stage.message if stage else f"the installer failed (status {error.returncode})"
    hint = f"{stage.hint}; {EVERYTHING}" if stage and stage.hint else EVERYTHING
    before = lines[: len(lines) - len(blamed)][-_BEFORE:]
    return OvError(f"{message}:{_quoted([*before, *blamed])}", hint=hint)


def _quoted(lines: list[str]) -> str:
    return "".join(f"\n  | {_short(line)}" for line in lines[-TAIL_LINES:])


def spoken(text: str) -> list[str]:
    """The lines that matter: without colours, progress and chatter."""
    plain = _CODES.sub("", text).replace("\r", "\n")
    return [line.strip() for line in plain.split("\n") if not _NOISE.match(line)]


def last_error(lines: list[str]) -> list[str]:
    """The last error line and all lines after it; empty: there is none."""
    starts = [number for number, line in enumerate(lines) if _ERROR.match(line)]
    return lines[starts[-1] :] if starts else []


def _known(lines: list[str], where: Where, sizes: Sizes) -> OvError | None:
    text = "\n".join(lines)
    if found := re.search(SPACE, text):
        return _too_small(found, where, sizes)
    for row in SIGNS:
        if found := re.search(row.pattern, text):
            message = f"{found.expand(row.message)}\n  | {_line(found)}"
            hint = found.expand(row.hint)
            return InputError(message, hint=hint, where=where) if row.input else OvError(message, hint=hint)
    return None


def _line(found: re.Match[str]) -> str:
    """The whole line with the match."""
    start = found.string.rfind("\n", 0, found.start()) + 1
    end = found.string.find("\n", found.start())
    return _short(found.string[start : end if end >= 0 else None])


def _short(line: str) -> str:
    return line if len(line) <= _LONGEST else line[:_LONGEST] + " …"


def _too_small(found: re.Match[str], where: Where, sizes: Sizes) -> InputError:
    """Says which size would do: the missing bytes more, and a tenth of the image for the file system itself."""
    needed, free = amount(found["needed"]), amount(found["free"])
    message = f"the image does not fit on the disk: it needs {found['needed']}, {found['free']} are free"
    hint = ENLARGE
    field, size = ("root_size", sizes.root) if sizes.root else ("disk_size", sizes.disk)
    if needed is not None and free is not None and size is not None:
        enough = size + max(needed - free, 0) + needed // 10
        wanted = format_size(-(-enough // GiB) * GiB if enough > 2 * GiB else -(-enough // (256 * MiB)) * 256 * MiB)
        hint = f"{field}: {wanted} (now {format_size(size)}) holds the image; more leaves room to work in"
    return InputError(f"{message}\n  | {_line(found)}", hint=hint, where=where)


def amount(text: str) -> int | None:
    """The bytes of an amount as GLib writes it: ``671.2 MB``, ``1.5 GiB``, ``12 bytes``; None: it is no amount."""
    found = _AMOUNT.search(text.replace("\u00a0", " ").replace("\u202f", " "))
    if found is None:
        return None
    number, power, binary = found.groups()
    exponent = _POWERS.index(power.replace("K", "k")) + 1 if power else 0
    try:
        return int(Decimal(number.replace(",", ".")) * (1024 if binary else 1000) ** exponent)
    except InvalidOperation:
        return None
