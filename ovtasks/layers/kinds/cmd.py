"""``cmd``: commands for the shell."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from ovtasks.layers.context import LayerContext, program_path
from ovtasks.layers.fragments import ACCOUNT_LINE, file_upload, files_below, own_name, quoted, text_upload
from ovtasks.layers.kind import OperationKind
from ovtasks.layers.operation import Operation, Upload
from ovtasks.project.layer_model import LayerTask

_BESIDE = re.compile(r"(?<![\w./-])/ctx/([\w.@+-]*)", re.ASCII)
NEVER_UNDONE = "nothing says how to undo it: the task has no uninstall"


class Cmd(OperationKind):
    """Commands."""

    name = "cmd"
    doc = (
        "Runs commands with bash, or with sh if there is no bash, in the home folder of `user`. They "
        "stop at the first failure (`set -e`). They see the variables of required layers, the layer's "
        "`vars` and `env`, its secrets, the deployment's `env`, the task's own `env`, and `path_append` "
        "in PATH. `/ctx/` stands for the layer's folder: ov uploads the files that the commands name "
        "below it. ov cannot check what commands have done, so they run once, and again when their text "
        "changes. Undo runs `uninstall`."
    )

    def task(self, task: LayerTask, context: LayerContext) -> Iterator[Operation]:
        body = str(task.data["cmd"])
        first = next((line.strip() for line in body.splitlines() if line.strip()), "nothing")
        yield run_commands(self.name, f"run {_short(first)}", body, task, context)


def run_commands(kind: str, name: str, body: str, task: LayerTask, context: LayerContext) -> Operation:
    """The operation that runs ``body`` as the task's account, in the task's environment."""
    uploads = [text_upload("body", f"{environment(task, context)}set -e\n{body.rstrip()}\n", 0o600)]
    uploads += _beside(body, context)
    do = 'ov_shell "$FILES/body"'
    if _BESIDE.search(body):
        # A path of another folder that ends with ctx is left alone.
        do = 'sed -e "s|^/ctx/|$FILES/ctx/|; s|\\([^A-Za-z0-9_./-]\\)/ctx/|\\1$FILES/ctx/|g" ' + (
            '"$FILES/body" >"$FILES/here"\nov_shell "$FILES/here"'
        )
    return Operation(
        kind=kind,
        name=name,
        do=do,
        user=context.account(task),
        uploads=tuple(uploads),
        caveat=NEVER_UNDONE,
        secret=bool(context.secrets),
        where=task.where,
    )


def environment(task: LayerTask, context: LayerContext) -> str:
    """Lines that set the variables of a task."""
    given = task.data.get("env")
    lines = [
        ACCOUNT_LINE,
        *(_export(name, quoted(value)) for name, value in context.variables.items() if own_name(name)),
    ]
    for layer in (*context.below, context.layer):
        own: Mapping[str, object] = layer.environment.data if layer.environment is not None else {}
        lines += [_export(name, _open(str(value))) for name, value in own.items()]
    lines += [_export(name, quoted(value)) for name, value in {**context.environment, **context.secrets}.items()]
    if isinstance(given, dict):
        lines += [_export(name, _open(str(value))) for name, value in given.items()]
    folders = dict.fromkeys(one.name for layer in (*context.below, context.layer) for one in program_path(layer))
    lines += [_export("PATH", f'"$PATH":{_open(folder)}') for folder in folders]
    return "".join(lines)


def _export(name: str, word: str) -> str:
    return f"export {name}={word}\n"


def _open(text: str) -> str:
    """A word for the shell, in which ``$NAME`` and a ``~`` at the beginning mean what they mean in the guest."""
    text = re.sub(r"%\(ENV_(\w+)\)s", r"${\1}", text, flags=re.ASCII)
    text = re.sub(r'(["`\\]|\$(?![{\w]))', r"\\\1", text, flags=re.ASCII)
    return f'"$HOME{text[1:]}"' if text == "~" or text.startswith("~/") else f'"{text}"'


def _beside(body: str, context: LayerContext) -> Iterator[Upload]:
    """What the commands name below ``/ctx/``; without a name: the whole folder."""
    folder = context.layer.folder
    found: set[Path] = set()
    for name in {match[1] for match in _BESIDE.finditer(body)}:
        path = folder / name
        if path.is_dir():
            found |= {one for one in files_below(path) if one.is_file()}
        elif path.is_file():
            found.add(path)
    for path in sorted(found):
        yield file_upload(f"ctx/{path.relative_to(folder).as_posix()}", path)


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
