"""What kinds have in common: places in the guest, uploads, words for the shell."""

from __future__ import annotations

import hashlib
import posixpath
import shlex
from collections.abc import Iterator
from pathlib import Path

from ovtasks.layers.context import LayerContext
from ovtasks.layers.manifests import unreadable
from ovtasks.layers.operation import ROOT, Upload
from ovtasks.project.layer_model import LayerPart
from ovtasks.values.words import near

quoted = shlex.quote
ACCOUNT_LINE = ': "${UID:=$OV_UID}" "${GID:=$OV_GID}"; export UID GID\n'
"""Sets what not every shell does. bash has UID, and lets nobody set it."""


def own_name(name: str) -> bool:
    """Whether a variable is other than those that each account has by itself."""
    return name not in {"HOME", "USER", "UID", "GID"}


def text_upload(name: str, text: str | bytes, mode: int = 0o644) -> Upload:
    """An upload of a text that we make."""
    content = text.encode() if isinstance(text, str) else text
    return Upload(name, content, f"sha256:{hashlib.sha256(content).hexdigest()}", mode)


def file_upload(name: str, path: Path) -> Upload:
    """An upload of a file of this machine, which is read. It keeps whether it may be executed.

    :raises OvError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        executable = path.stat().st_mode & 0o100
    except OSError as e:
        raise unreadable(path, e) from e
    return Upload(name, path, f"sha256:{digest}", 0o755 if executable else 0o644)


def place(context: LayerContext, part: LayerPart, key: str, written: str | None = None) -> str:
    """The path in the guest that ``key`` (or ``written``, which stands there) means, absolute and in its shortest form.

    :raises InputError: it is not absolute, is ``/``, or has a line break.
    """
    text = context.expand(str(part.data[key]) if written is None else written, part.place(key))
    path = posixpath.normpath(text)
    if not path.startswith("/") or not path.strip("/") or not path.isprintable():
        hint = "begin it with / or ~/; the root folder itself is none"
        raise part.error(f"{key} must be the absolute path of something in the guest, not {text!r}", key, hint=hint)
    return "/" + path.lstrip("/")


def home(context: LayerContext, part: LayerPart) -> str:
    """The home folder of the account that runs a task.

    :raises InputError: only the guest knows it.
    """
    account = context.account(part)
    if account in {context.facts.user, f"{context.facts.uid}:{context.facts.gid}"}:
        return context.facts.home
    if account == ROOT:
        return "/root"
    raise part.error(f"nothing says where the home folder of {account} is", hint="write an absolute path in 'to'")


def own_file(context: LayerContext, part: LayerPart, key: str, name: str) -> Path:
    """A file or folder beside ``layer.yml``.

    :raises InputError: there is none, or it lies outside of the layer's folder.
    """
    folder = context.layer.folder
    path = folder / name.rstrip("/")
    if Path(name).is_absolute() or not path.resolve().is_relative_to(folder.resolve()):
        raise part.error(f"{name!r} is outside of the layer's folder", key, hint=f"put it into {folder}")
    if not path.exists():
        known = sorted(one.name for one in folder.iterdir())
        meant = near(name, known)
        hint = f"did you mean {meant!r}?" if meant else f"it has {', '.join(known[:8]) or 'nothing'}"
        raise part.error(f"{folder} has no {name!r}", key, hint=hint)
    return path


def files_below(path: Path) -> Iterator[Path]:
    """All files and links below a folder, in order; links are not followed."""
    for one in sorted(path.iterdir()):
        if one.is_dir() and not one.is_symlink():
            yield from files_below(one)
        else:
            yield one


def mode_of(part: LayerPart, default: str) -> str:
    """The task's ``mode`` as four octal digits."""
    return str(part.data.get("mode") or default).rjust(4, "0")[-4:]


def heredoc(command: str, text: str) -> str:
    """``command`` with a text of whole lines on its stdin; nothing in it is expanded."""
    mark = "END"
    while f"\n{mark}\n" in f"\n{text}":
        mark += "_"
    return f"{command} <<'{mark}'\n{text}{mark}\n"
