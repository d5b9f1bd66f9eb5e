"""``mkdir``: a folder."""

from __future__ import annotations

from collections.abc import Iterator

from ovtasks.layers.context import LayerContext
from ovtasks.layers.fragments import mode_of, place, quoted
from ovtasks.layers.kind import OperationKind
from ovtasks.layers.operation import Operation
from ovtasks.project.layer_model import LayerTask


class Mkdir(OperationKind):
    """A folder."""

    name = "mkdir"
    doc = (
        "Makes a folder that belongs to `user`, and its parent folders. An existing folder keeps its "
        "owner and mode, unless you write `mode`. Undo removes the folder and the parents that ov made, "
        "if they are empty; it restores owner and mode of an existing folder."
    )

    def task(self, task: LayerTask, context: LayerContext) -> Iterator[Operation]:
        path = place(context, task, "mkdir")
        where = quoted(path)
        if "mode" in task.data:
            look, do = f"ov_same_folder {where} {mode_of(task, '0755')}", f"ov_folder {where} {mode_of(task, '0755')}"
        else:
            look, do = f"[ -d {where} ]", f"[ -d {where} ] || ov_folder {where} 0755"
        yield Operation(
            kind=self.name,
            name=f"mkdir {path}",
            look=look,
            makes=path,
            save=f"ov_keep {where}",
            do=do,
            undo="ov_restore",
            user=context.account(task),
            where=task.where,
        )
