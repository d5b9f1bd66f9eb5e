"""``write``: a text file."""

from __future__ import annotations

from collections.abc import Iterator

from ovtasks.layers.context import LayerContext
from ovtasks.layers.fragments import mode_of, place, quoted, text_upload
from ovtasks.layers.kind import OperationKind
from ovtasks.layers.operation import Operation
from ovtasks.project.layer_model import LayerTask


class Write(OperationKind):
    """A text file."""

    name = "write"
    doc = (
        "Writes a text file that belongs to `user`, whole or not at all, and makes the folders above it. The text is"
        " taken as it is: `$` in it means nothing to us. Undo restores the file, or the link, that was there, with"
        " owner, mode, time, attributes and capabilities; else it removes the file and the folders that we made."
    )

    def task(self, task: LayerTask, context: LayerContext) -> Iterator[Operation]:
        path = place(context, task, "write")
        words = f'"$FILES/content" {quoted(path)} {mode_of(task, "0644")}'
        yield Operation(
            kind=self.name,
            name=f"write {path}",
            look=f"ov_same {words}",
            makes=path,
            save=f"ov_keep {quoted(path)}",
            do=f"ov_install {words}",
            undo="ov_restore",
            user=context.account(task),
            uploads=(text_upload("content", str(task.data.get("content", ""))),),
            where=task.where,
        )
