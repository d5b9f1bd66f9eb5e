"""``setcap``: the capabilities of a program."""

from __future__ import annotations

from collections.abc import Iterator

from ovtasks.layers.context import LayerContext
from ovtasks.layers.fragments import place, quoted
from ovtasks.layers.kind import OperationKind
from ovtasks.layers.operation import Operation
from ovtasks.project.layer_model import LayerTask

_TOOLS = (
    "command -v setcap >/dev/null && command -v getcap >/dev/null || "
    "ov_fail 'the guest has no setcap and getcap: add libcap2-bin (Debian) or libcap to the packages of the layer'"
)


class Setcap(OperationKind):
    """The capabilities of a program."""

    name = "setcap"
    doc = (
        "Sets the capabilities of a program; empty or missing `caps` remove all of them. Undo restores "
        "the previous ones, if the program still exists."
    )

    def task(self, task: LayerTask, context: LayerContext) -> Iterator[Operation]:
        path = place(context, task, "setcap")
        file = quoted(path)
        caps = context.expand(str(task.data.get("caps") or ""), task.place("caps")).strip()
        if caps:
            look, do = f"setcap -q -v {quoted(caps)} {file}", f"setcap {quoted(caps)} {file}"
        else:
            look, do = f'[ -e {file} ] && [ -z "$(ov_caps {file})" ]', f"setcap -r {file}"
        yield Operation(
            kind=self.name,
            name=f"setcap {path}",
            look=f"{_TOOLS}\n{look}",
            save=f'{_TOOLS}\nov_safe {file}\nov_caps {file} >"$STATE/caps"',
            do=f"ov_safe {file}\n{do}",
            undo=(
                f'IFS= read -r had <"$STATE/caps" || had=\nov_safe {file}\n'
                f'if [ -f {file} ] && [ "$(ov_caps {file})" != "$had" ]; then\n'
                f'    if [ -n "$had" ]; then setcap "$had" {file}; else setcap -r {file}; fi\nfi'
            ),
            user=context.account(task),
            where=task.where,
        )
