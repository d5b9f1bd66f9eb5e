"""``shell``: what the shells of the guest read when they start.

fish has a folder for that in the user's home, ``~/.config/fish/conf.d``; login shells of the kind of ``sh`` have
``/etc/profile.d``. bash and zsh have none that every distribution knows, so the layer gets a block in ``~/.bashrc`` and
``~/.zshrc``: interactive shells read them, login shells too, as far as the distribution's own files say so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ovtasks.errors import Where
from ovtasks.layers.context import LayerContext
from ovtasks.layers.fragments import place, quoted, text_upload
from ovtasks.layers.kind import OperationKind
from ovtasks.layers.operation import ROOT, Operation
from ovtasks.project.layer_model import LayerPart, LayerSpec
from ovtasks.values.jsonvalue import Json

SHELLS = ("bash", "zsh", "fish", "sh")
PRIORITY = 50
_RC = {"bash": ".bashrc", "zsh": ".zshrc"}
_FIELDS = ("init", "path", "path_append", "priority")


class ShellFiles(OperationKind):
    """Text for the start of shells."""

    name = "shell"
    doc = (
        "Adds `init` and `path_append` to the shells that the guest has, or gets from a package of the "
        "layer. ov writes a block for the layer into `~/.bashrc` and `~/.zshrc`, a file into "
        "`~/.config/fish/conf.d`, and for `sh` one into `/etc/profile.d`. `init` at the top is for "
        "bash, zsh and fish; the section of a shell replaces it for that shell. `path` names another "
        "file for the block. A lower `priority` is read earlier. If the guest lacks a shell, ov skips "
        "it, and the plan says so. ov checks whether block or file is up to date. Undo removes the "
        "block or restores the file; the rest of the file stays."
    )

    def layer(self, layer: LayerSpec, context: LayerContext) -> Iterator[Operation]:
        """One operation for each shell.

        :raises InputError: a folder for PATH is not absolute; ``init`` has a line that begins or ends a block.
        """
        if layer.shell is None:
            return
        wanted = {shell: fields for shell in SHELLS if (fields := _fields(layer.shell, shell))}
        there = {*context.facts.shells, "sh", *_packages(layer)}
        absent = [shell for shell in wanted if shell not in there]
        done = [shell for shell in wanted if shell in there]
        if absent and not done:
            context.skip(f"shell: {', '.join(absent)}", "the guest has no such shell", layer.shell.where)
        for shell in done:
            yield _operation(shell, wanted[shell], layer.shell, context, absent if shell == done[0] else [])


def _fields(part: LayerPart, shell: str) -> dict[str, Json]:
    """What a shell gets: its own fields, and those at the top that it does not have."""
    own = part.data.get(shell)
    fields = {key: part.data[key] for key in _FIELDS if part.data.get(key) is not None}
    if shell == "sh":
        fields.pop("init", None)  # hooks are written for shells that people type into
    fields |= own if isinstance(own, dict) else {}
    return fields if fields.get("init") or fields.get("path_append") else {}


def _key(part: LayerPart, shell: str, field: str) -> str:
    """Where a field of a shell is written: under the shell's name, or at the top."""
    own = part.data.get(shell)
    return f"{shell}.{field}" if isinstance(own, dict) and field in own else field


def _packages(layer: LayerSpec) -> set[str]:
    """The packages of the layer, for whatever system."""
    lists = (section.data.get("packages") for section in layer.sections.values())
    found = (one for packages in lists if isinstance(packages, list) for one in packages)
    return {str(one.get("name")) if isinstance(one, dict) else str(one) for one in found}


def _operation(
    shell: str, fields: Mapping[str, Json], part: LayerPart, context: LayerContext, absent: list[str]
) -> Operation:
    layer = context.layer.name
    where = part.place(shell) if isinstance(part.data.get(shell), dict) else part.where
    text = _text(shell, fields, part, context)
    rank = int(str(fields.get("priority", PRIORITY)))
    note = f" ({', '.join(absent)}: not installed)" if absent else ""
    if written := fields.get("path"):
        file = place(context, part, _key(part, shell, "path"), str(written))
    elif shell in _RC:
        file = f"{context.facts.home}/{_RC[shell]}"
    else:
        return _drop_in(shell, text, rank, note, context, where)
    user = context.facts.user if f"{file}/".startswith(f"{context.facts.home}/") else ROOT
    words = f"{quoted(file)} {quoted(f'{layer} {shell}')}"
    block = f"{words} {quoted(text.rstrip())} 644"
    return Operation(
        kind="shell",
        name=f"{shell} reads {file}{note}",
        do=f"ov_rank={rank}\nov_block_put {block}",
        look=f"ov_rank={rank}\nov_block_same {block}",
        save=f"ov_block_save {quoted(file)}",
        undo=f"ov_block_drop {words}",
        user=user,
        where=where,
    )


def _drop_in(shell: str, text: str, rank: int, note: str, context: LayerContext, where: Where) -> Operation:
    name = f"ov-{rank:02}-{context.layer.name}.{shell}"
    if shell == "fish":
        file, user = f"{context.facts.home}/.config/fish/conf.d/{name}", context.facts.user
    else:
        file, user = f"/etc/profile.d/{name}", ROOT
        text = (
            f"case ${{0##*[-/]}} in sh | dash | ash | busybox) # not bash, which reads its own file\n{text};;\nesac\n"
        )
    words = f'"$FILES/{shell}" {quoted(file)} 0644'
    return Operation(
        kind="shell",
        name=f"{shell} reads {file}{note}",
        do=f"ov_install {words}",
        look=f"ov_same {words}",
        save=f"ov_keep {quoted(file)}",
        undo="ov_restore",
        user=user,
        uploads=(text_upload(shell, text),),
        where=where,
    )


def _text(shell: str, fields: Mapping[str, Json], part: LayerPart, context: LayerContext) -> str:
    written = fields.get("path_append")
    lines = []
    for folder in written if isinstance(written, list) else [written] * (written is not None):
        found = context.expand(str(folder), part.place(_key(part, shell, "path_append")))
        if not found.startswith("/"):
            raise part.error(
                f"PATH takes absolute folders, and {found!r} is none",
                _key(part, shell, "path_append"),
                hint="begin it with / or ~/",
            )
        lines.append(_append(shell, found))
    init = str(fields.get("init") or "").replace("${SHELL_NAME}", shell).replace("$SHELL_NAME", shell).strip("\n")
    if any(line.startswith(("# >>> ov layer ", "# <<< ov layer ")) for line in init.splitlines()):
        hint = "no line of it may begin with '# >>> ov layer' or '# <<< ov layer'"
        raise part.error("init has a line that marks our blocks", _key(part, shell, "init"), hint=hint)
    return "".join(f"{line}\n" for line in (*lines, init) if line)


def _append(shell: str, folder: str) -> str:
    if shell == "fish":
        word = "'" + folder.replace("\\", "\\\\").replace("'", "\\'") + "'"
        return f"contains -- {word} $PATH; or set -gx PATH $PATH {word}"
    word = quoted(folder)
    return f'case ":$PATH:" in *:{word}:*) ;; *) export PATH="$PATH":{word} ;; esac'
