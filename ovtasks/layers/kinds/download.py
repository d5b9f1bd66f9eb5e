"""``download``: a file from the web, or what an archive there holds."""

from __future__ import annotations

import contextlib
import os
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ovtasks.errors import OvError
from ovtasks.host.oserrors import explaining
from ovtasks.layers.archive import PACKED, Member, Selection, kind_of, repack, unpack_one
from ovtasks.layers.context import LayerContext
from ovtasks.layers.fragments import file_upload, heredoc, home, mode_of, place, quoted, text_upload
from ovtasks.layers.kind import OperationKind
from ovtasks.layers.kinds.cmd import NEVER_UNDONE, environment
from ovtasks.layers.operation import Bringer, Operation, operation_digest
from ovtasks.project.layer_model import LayerTask
from ovtasks.values.jsonvalue import plain, state_text


class Download(OperationKind):
    """A file from the web."""

    name = "download"
    doc = (
        "Downloads a file on this machine, and uploads it, or the contents of the archive. A cache "
        "keeps the file by URL and checksum, and resumes interrupted downloads. The guest needs no "
        "network, and no unpacker except tar. Plain http needs a `checksum`; without one, ov downloads "
        "a file over https once, as it is, and says that it is not pinned. The files of an archive "
        "belong to `user`; ov makes its folders as needed. They stay executable or not as in the "
        "archive; a single file has mode 0644 without `mode`. With `extract: sh`, the file is a script "
        "that runs in the guest with `env`; only `uninstall` can undo it. Otherwise undo restores each "
        "replaced file and removes the others."
    )

    def task(self, task: LayerTask, context: LayerContext) -> Iterator[Operation]:
        source = _source(task, context)
        script = source.how == "sh"

        def complete(operation: Operation, bringer: Bringer) -> Operation:
            path = bringer.download(source.url, source.checksum, task.place("download"))
            try:
                with explaining(f"unpack {source.file}", path.parent):
                    return _complete(operation, path, source)
            except OvError as e:
                raise OvError(f"{source.file}: {e.message}", hint=e.hint, where=task.place("download")) from e

        yield Operation(
            kind=self.name,
            name=f"run {source.file}" if script else f"download {source.file} to {source.to}",
            do=f"# {state_text(plain(source))}",
            user=context.account(task),
            uploads=(text_upload("env", environment(task, context), 0o600),) if script else (),
            caveat=NEVER_UNDONE if script else "",
            secret=script and bool(context.secrets),
            complete=complete,
            where=task.where,
        )


@dataclass(frozen=True)
class _Fetch:
    """What is downloaded, and what becomes of it: the fields that tell one download from another."""

    url: str
    checksum: str | None
    file: str
    how: str
    to: str
    wanted: Selection


def _source(task: LayerTask, context: LayerContext) -> _Fetch:
    url = context.expand(str(task.data["download"]), task.place("download"))
    file = unquote(posixpath.basename(urlsplit(url).path)) or "download"
    how = str(task.data.get("extract") or kind_of(file))
    to = context.expand(str(task.data.get("to") or f"{home(context, task)}/"), task.place("to"))
    if to.endswith("/") and (how == "none" or how in PACKED):
        to += file.removesuffix(f".{how}")
    include = task.data.get("include")
    return _Fetch(
        url=url,
        checksum=str(task.data["checksum"]) if task.data.get("checksum") else None,
        file=file,
        how=how,
        to=place(context, task, "to", to),
        wanted=Selection(
            include=[str(one) for one in include] if isinstance(include, list) else [],
            strip=int(str(task.data.get("strip_components") or 0)),
            mode=int(mode_of(task, "0644"), 8) if task.data.get("mode") else None,
        ),
    )


def _complete(operation: Operation, path: Path, source: _Fetch) -> Operation:
    how, to, mode = source.how, source.to, source.wanted.mode
    if how == "sh":
        uploads = (*operation.uploads, replace(file_upload("script", path), mode=0o755))
        return replace(operation, do='. "$FILES/env"\nov_shell "$FILES/script"', uploads=uploads)
    if how == "none" or how in PACKED:
        if how in PACKED:
            with _whole(path.with_suffix(f".{how}.file")) as single:
                unpack_one(path, how, single)
            path = path.with_suffix(f".{how}.file")
        words = f'"$FILES/file" {quoted(to)} {0o644 if mode is None else mode:04o}'
        return replace(
            operation,
            look=f"ov_same {words}",
            makes=to,
            save=f"ov_keep {quoted(to)}",
            do=f"ov_install {words}",
            undo=f"{operation.undo}\nov_restore".lstrip(),
            uploads=(file_upload("file", path),),
        )
    tar = path.with_suffix(f".{operation_digest(operation)[:16]}.tar")
    with _whole(tar) as part:
        members = repack(path, how, source.wanted, part)
    return _unpacked(operation, members, to, tar)


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A name for a file while it is written: another deployment may read what is at ``path`` meanwhile."""
    part = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _unpacked(operation: Operation, members: list[Member], to: str, tar: Path) -> Operation:
    """All members at once: a program of thousands of files is not to take thousands of processes."""
    files = [one for one in members if not one.target]
    paths = "".join(f"{to}/{one.path}\n" for one in members)
    sums = "".join(f"{one.sha256}  {to}/{one.path}\n" for one in files)
    programs = "".join(f"{to}/{one.path}\n" for one in files if one.executable)
    look = heredoc("sha256sum -c >/dev/null 2>&1", sums) if sums else ""
    look += heredoc('while IFS= read -r path; do [ -x "$path" ]; done', programs)
    for one in members:
        if one.target:
            look += f'[ "$(readlink -- {quoted(f"{to}/{one.path}")})" = {quoted(one.target)} ]\n'
    return replace(
        operation,
        look=look,
        save='ov_keep_lines "$FILES/paths"',
        do=f'ov_parents {quoted(f"{to}/x")}\ntar -xof "$FILES/files.tar" -C {quoted(to)}',
        undo=f"{operation.undo}\nov_restore".lstrip(),
        uploads=(text_upload("paths", paths), file_upload("files.tar", tar)),
    )
