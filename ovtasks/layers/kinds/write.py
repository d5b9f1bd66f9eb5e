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
        "Writes a text file that belongs to `user`, atomically, and makes its parent folders. The text "
        "is written as it is, including `$`. Undo restores the previous file or link with owner, mode, "
        "time, attributes and capabilities; otherwise it removes the file and the folders that ov made."
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
