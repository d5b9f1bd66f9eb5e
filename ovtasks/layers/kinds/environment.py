"""``env`` and ``path_append``: variables that every way into a guest really sees.

There is no single file for that. What reads what, on Debian, Ubuntu, Fedora, Arch and openSUSE:

``/etc/environment``
    pam_env reads it for every session, whatever the user's shell: ``ssh host command``, a login, su, cron. Nothing else
    reaches a command over ssh: that shell is no login shell, and dash and sh read no file at all then. It has no shell
    syntax. pam_env cuts a value at ``#``, drops the rest of the file after a line of 1024 bytes (before 1.6), expands
    nothing, and takes quotes only off a value's ends. PATH has to be complete there, so the guest puts it together from
    the blocks of all layers, in their order. systemd reads the same file for user services (``99-environment.conf``)
    and for units with ``EnvironmentFile=``, so the quotes are such that it gets the same.
``/etc/profile.d/*.sh``
    for login shells: Debian's and openSUSE's ``/etc/profile`` set PATH anew and forget what pam_env said.
``/etc/environment.d/*.conf``
    for services of users: systemd expands ``$`` in ``/etc/environment``, pam_env does not. This file comes after
    it, and says ``$$``.

zsh and fish need no file of their own. They keep what pam_env said: Debian's ``/etc/zsh/zshenv`` only fills an empty
PATH, Arch's and Fedora's zsh read ``/etc/profile``, fish adds to PATH. An sshd ``SetEnv`` is no choice: sshd takes the
first such line and ignores all others, the user's own ones included.

In each file a layer has a block of its own, in the order in which layers are applied, so that the others stay when one
goes. A value with a secret is only in files of the user that nobody else can read, so a command over ssh lacks it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ovtasks.errors import InputError, Where
from ovtasks.layers.context import LayerContext
from ovtasks.layers.fragments import quoted, text_upload
from ovtasks.layers.kind import OperationKind
from ovtasks.layers.operation import ROOT, Operation
from ovtasks.layers.quoting import environment_d, pam_line
from ovtasks.layers.variables import Variable, layer_variables
from ovtasks.project.layer_model import LayerSpec

LOGIN_FILE = "/etc/profile.d/ov-0-environment.sh"
UNITS_FILE = "/etc/environment.d/ov-environment.conf"


class Environment(OperationKind):
    """Environment variables and PATH."""

    name = "environment"
    doc = (
        "Sets the variables of `env` and `path_append`, and of the deployment's `env`, which takes "
        "precedence. Every login, every command over ssh and every service of the user sees them: ov "
        "writes a block for the layer into `/etc/environment`, `/etc/profile.d` and "
        "`/etc/environment.d`. `~`, `$HOME` and `${OTHER}` of the same layer are replaced; `$$` is a "
        "dollar sign. A value with a secret goes into private files of the user; a command over ssh "
        "does not see it. ov checks whether the blocks are up to date. Undo removes them; the rest of "
        "the files stays."
    )

    def layer(self, layer: LayerSpec, context: LayerContext) -> Iterable[Operation]:
        """One operation for what everybody may read, one for what holds a secret.

        :raises InputError: a value has a line break, refers to itself or to what nobody knows; a folder for PATH has a
            character that PATH cannot have.
        """
        variables = tuple(layer_variables(layer, context))
        folders = tuple(dict.fromkeys(_folder(named.name, named.where, context) for named in context.path_append))
        where = layer.environment.where if layer.environment else layer.where
        if folders and layer.environment is None:
            where = context.path_append[0].where
        secret = [one for one in variables if one.secret]
        if variables or folders:
            yield _public(layer.name, variables, folders, context, where)
        if secret:
            yield _secret(layer.name, secret, context, where)


def _folder(text: str, where: Where, context: LayerContext) -> str:
    folder = context.expand(text, where)
    if not folder.startswith("/"):
        raise InputError(
            f"PATH takes absolute folders, and {folder!r} is none", hint="begin it with / or ~/", where=where
        )
    if found := re.search(r"[:\"'\\$#`\s]", folder.replace(" ", "")):
        hint = "link it from a folder with a plain name, and write that one"
        raise InputError(f"a folder for PATH cannot have {found[0]!r} in its name: {folder!r}", hint=hint, where=where)
    return folder.rstrip("/") or "/"


def _public(
    layer: str, variables: tuple[Variable, ...], folders: tuple[str, ...], context: LayerContext, where: Where
) -> Operation:
    plain = [one for one in variables if not one.secret]
    blind = [one.name for one in variables if not one.reaches_commands]
    pam = [pam_line(one.name, one.value) for one in plain if one.reaches_commands]
    pam += [f"# path: {folder}" for folder in folders] + ["PATH="] * bool(folders)
    login = [f"export {one.name}={quoted(one.value)}" for one in plain]
    login += [f'case ":$PATH:" in *:{quoted(f)}:*) ;; *) PATH=$PATH:{quoted(f)} ;; esac' for f in folders]
    login += ["export PATH"] * bool(folders)
    if len(plain) < len(variables):
        place = f'"$HOME"/{quoted(_private(layer))}'
        login.append(f"if [ -r {place} ]; then . {place}; fi")
    units = [environment_d(one.name, one.value) for one in plain]
    layer_word, account = quoted(layer), quoted(context.facts.user)
    settings = "\n".join(
        (
            f"layer={layer_word}",
            f"pam={_text(pam)}",
            f"login={_text(login)}",
            f"units={_text(units)}",
            f"folders={_text(folders)}",
            f"account={account}",
            "",
        )
    )
    names = [one.name for one in variables] + ["PATH"] * bool(folders)
    return Operation(
        kind="environment",
        name=f"environment: {', '.join(names)}",
        do=f'{settings}ov_environment_each ov_block_put\nov_user_reload "$account"',
        look=f"{settings}ov_environment_each ov_block_same",
        save=f"ov_block_save {LOGIN_FILE} {UNITS_FILE}",
        undo=f"ov_environment_drop {layer_word}\nov_user_reload {account}",
        where=where,
        caveat=f"a command over ssh does not see {', '.join(blind)}; a login does" if blind else "",
    )


def _secret(layer: str, variables: list[Variable], context: LayerContext, where: Where) -> Operation:
    """Two files of the user: for login shells, and for the user's services."""
    login = "".join(f"export {one.name}={quoted(one.value)}\n" for one in variables)
    units = "".join(f"{environment_d(one.name, one.value)}\n" for one in variables)
    places = {"login": _private(layer), "units": f".config/environment.d/ov-{layer}.conf"}
    pairs = [f'"$FILES/{name}" "$HOME"/{quoted(place)} 0600' for name, place in places.items()]
    kept = " ".join(f'"$HOME"/{quoted(place)}' for place in places.values())
    return Operation(
        kind="environment",
        name=f"environment with secrets: {', '.join(one.name for one in variables)}",
        do="\n".join((*(f"ov_install {pair}" for pair in pairs), f"ov_user_reload {quoted(context.facts.user)}")),
        look=" && ".join(f"ov_same {pair}" for pair in pairs),
        save=f"ov_keep {kept}",
        undo=f"ov_restore\nov_user_reload {quoted(context.facts.user)}",
        where=where,
        user=context.facts.user if context.facts.uid else ROOT,
        uploads=(text_upload("login", login, 0o600), text_upload("units", units, 0o600)),
        secret=True,
    )


def _private(layer: str) -> str:
    return f".config/ovtasks/environment/{layer}.sh"


def _text(lines: Iterable[str]) -> str:
    return quoted("\n".join(lines))
