"""``copy``: a file or a folder from beside ``layer.yml``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ovtasks.layers.context import LayerContext
from ovtasks.layers.fragments import file_upload, files_below, home, mode_of, own_file, place, quoted
from ovtasks.layers.kind import OperationKind
from ovtasks.layers.operation import Operation, Upload
from ovtasks.project.layer_model import LayerTask


class Copy(OperationKind):
    """A file or a folder."""

    name = "copy"
    doc = (
        "Copies a file, or all files of a folder, from the layer's folder; the copy belongs to `user`. "
        "Without `mode`, executable files get 0755 and others 0644. Links in a folder stay links. Undo "
        "restores each replaced file and removes the others; other files in the same folders stay."
    )

    def task(self, task: LayerTask, context: LayerContext) -> Iterator[Operation]:
        name = context.expand(str(task.data["copy"]), task.place("copy"))
        source = own_file(context, task, "copy", name)
        to = _destination(task, context, source)
        files = {to: source}
        if source.is_dir():
            files = {f"{to}/{one.relative_to(source).as_posix()}": one for one in files_below(source)}
        uploads: list[Upload] = []
        look, do = [], []
        for number, (path, file) in enumerate(files.items(), 1):
            if not path.isprintable():
                raise task.error(f"{file} has a name that cannot be written in one line", "copy", hint="rename it")
            if file.is_symlink() and source.is_dir():
                target = quoted(str(file.readlink()))
                look.append(f'[ "$(readlink -- {quoted(path)})" = {target} ]')  # one command, so that set -e sees it
                do.append(f"ov_link {target} {quoted(path)}")
                continue
            upload = file_upload(str(number), file)
            uploads.append(upload)
            words = f'"$FILES/{number}" {quoted(path)} {mode_of(task, f"{upload.mode:04o}")}'
            look.append(f"ov_same {words}")
            do.append(f"ov_install {words}")
        if not files:
            look, do = [f"[ -d {quoted(to)} ]"], [f"[ -d {quoted(to)} ] || ov_folder {quoted(to)} 0755"]
        yield Operation(
            kind=self.name,
            name=f"copy {name} to {to}",
            look="\n".join(look),
            makes=to,
            save=f"ov_keep {' '.join(map(quoted, files or [to]))}",
            do="\n".join(do),
            undo="ov_restore",
            user=context.account(task),
            uploads=tuple(uploads),
            where=task.where,
        )


def _destination(task: LayerTask, context: LayerContext, source: Path) -> str:
    written = context.expand(str(task.data.get("to") or f"{home(context, task)}/"), task.place("to"))
    if written.endswith("/") and not (source.is_dir() and "to" in task.data):
        written += source.name
    return place(context, task, "to", written)
