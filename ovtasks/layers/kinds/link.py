"""``link``: a symbolic link."""

from __future__ import annotations

from collections.abc import Iterator

from ovtasks.layers.context import LayerContext
from ovtasks.layers.fragments import place, quoted
from ovtasks.layers.kind import OperationKind
from ovtasks.layers.operation import Operation
from ovtasks.project.layer_model import LayerTask


class Link(OperationKind):
    """A symbolic link."""

    name = "link"
    doc = (
        "Makes a symbolic link and its parent folders. It replaces a file or a link, but not a folder. "
        "Undo restores the previous state."
    )

    def task(self, task: LayerTask, context: LayerContext) -> Iterator[Operation]:
        made = place(context, task, "link")
        path = quoted(made)
        target = quoted(context.expand(str(task.data["target"]), task.place("target")))
        yield Operation(
            kind=self.name,
            name=f"link {made}",
            look=f'[ -h {path} ] && [ "$(readlink -- {path})" = {target} ]',
            makes=made,
            save=f"ov_keep {path}",
            do=f"ov_link {target} {path}",
            undo="ov_restore",
            user=context.account(task),
            where=task.where,
        )
