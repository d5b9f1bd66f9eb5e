"""A service of a layer as text that systemd reads: a unit, or a drop-in for a packaged one. No I/O."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ovtasks.errors import Where
from ovtasks.layers.context import LayerContext
from ovtasks.layers.quoting import environment_file, exec_word, specifiers
from ovtasks.layers.variables import Variable, layer_variables, service_variable
from ovtasks.project.layer_model import LayerPart
from ovtasks.values.jsonvalue import Json

PAUSE = 1
"""Seconds between the end of a service and its next start."""
_RESTART = {
    "no": "no",
    "on-failure": "on-failure",
    "always": "always",
    "unless-stopped": "always",
    "true": "always",
    "false": "no",
}
_NAMES = re.compile(r"\$\{([A-Za-z_]\w*)\}|\$([A-Za-z_]\w*)|%\(ENV_(\w+)\)s", re.ASCII)
_SHELLS = frozenset({"ash", "bash", "dash", "fish", "ksh", "sh", "zsh"})
_QUOTED = re.compile(r"""'[^']*'|"(\\.|[^"\\])*"|\\.""")
_OPERATOR = re.compile(r"(?:^|\s)(&&?|\|\|?|&?>>?\S*|2>\S*|<\S*)(?=\s|$)|(;)(?=\s|$)")
_SPAN = re.compile(r"(\d+(\.\d+)?\s*(us|ms|s|sec|m|min|h|hr|d)?\s*)+")


@dataclass(frozen=True)
class Service:
    """A service with what its texts need. ``names`` are the units of the layer's other services, by their names."""

    part: LayerPart
    context: LayerContext
    unit: str
    names: Mapping[str, str]

    @property
    def for_user(self) -> bool:
        """Whether the user's service manager runs it."""
        return self.text("scope", "system") == "user"

    @property
    def may_end(self) -> bool:
        """Whether it is well when it has come to its end."""
        return restart_word(self.part) != "always"

    def text(self, key: str, default: str = "") -> str:
        """The value of ``key`` as text."""
        value = self.part.data.get(key)
        return default if value is None else _plain(value)

    def setting(self, key: str) -> str:
        """The value of ``key`` with its names replaced."""
        return self.context.expand(self.text(key), self.part.place(key))

    def own_variables(self) -> list[Variable]:
        """Its ``env``, final.

        :raises InputError: a value names what nobody knows.
        """
        values = self.merged("env")
        if not isinstance(values, dict):
            return []
        written = {name: _plain(value) for name, value in values.items()}
        finals = list(layer_variables(self.context.layer, self.context))
        return [service_variable(name, written, finals, self.context, self._place(name)) for name in written]

    def _place(self, variable: str) -> Where:
        overrides = self.part.data.get("overrides")
        more = overrides.get("env") if isinstance(overrides, dict) else None
        inside = isinstance(more, dict) and variable in more
        return self.part.place(f"overrides.env.{variable}" if inside else f"env.{variable}")

    def known(self) -> dict[str, str]:
        """What names in its command stand for; secrets are left to the environment that it gets.

        :raises InputError: as :meth:`own_variables`.
        """
        found = (*layer_variables(self.context.layer, self.context), *self.own_variables())
        return self.context.variables | {one.name: one.value for one in found if not one.secret}

    def merged(self, key: str) -> Json:
        """The value of ``key``, and what ``overrides`` says of it, which wins."""
        overrides = self.part.data.get("overrides")
        more = overrides.get(key) if isinstance(overrides, dict) else None
        mine = self.part.data.get(key)
        if isinstance(mine, dict) and isinstance(more, dict):
            return mine | more
        if key == "after":
            return [*_list(mine), *_list(more)]
        return mine if more is None else more


def unit_text(service: Service, variables: str | None) -> str:
    """A whole unit. ``variables`` is the path of the file with the service's own variables.

    :raises InputError: a field has no meaning for systemd.
    """
    title = f"Description={specifiers(service.text('name'))} of the layer {service.context.layer.name}"
    body = [] if service.for_user else ["EnvironmentFile=-/etc/environment"]  # the user's manager has read it
    if variables:
        body.append(f"EnvironmentFile={specifiers(variables)}")
    body += ["Type=exec", f"ExecStart={exec_line(service)}", *_settings(service, new=True)]
    target = "default.target" if service.for_user else "multi-user.target"
    unit = [title, *_order(service), *_limit(service)]
    return _sections({"Unit": unit, "Service": body, "Install": [f"WantedBy={target}"]})


def drop_in_text(service: Service, variables: str | None) -> str:
    """What changes of a packaged unit; empty if nothing does.

    :raises InputError: as :func:`unit_text`.
    """
    body = [f"EnvironmentFile={specifiers(variables)}"] if variables else []
    if service.merged("exec"):
        body += ["ExecStart=", f"ExecStart={exec_line(service)}"]
    body += _settings(service, new=False)
    unit = [*_order(service), *_limit(service)]
    if body and not service.unit.endswith(".service"):
        message = f"{service.unit} runs no program, so only 'after' and 'before' can change it"
        raise service.part.error(message, "overrides", hint="name the unit that ends in .service")
    return _sections({"Unit": unit, "Service": body}) if unit or body else ""


def variables_text(service: Service) -> str:
    """The file with the service's own variables; empty if it has none.

    A unit of ours also gets those of its layer that ``/etc/environment`` cannot have: secrets, for one.

    :raises InputError: a value names what nobody knows.
    """
    found = {one.name: one.value for one in service.own_variables()}
    if not service.for_user and service.part.data.get("use_packaged") is None:
        others = layer_variables(service.context.layer, service.context)
        found = {one.name: one.value for one in others if not one.reaches_commands} | found
    return "".join(f"{environment_file(name, value)}\n" for name, value in found.items())


def exec_line(service: Service) -> str:
    """The command as systemd reads it: the words that a shell would make of it, without being run by one.

    A name that the layer or the service knows is replaced. Others are left to the shell, if the program is one; else
    systemd looks for them in the service's environment. A program without a folder is looked for in the service's PATH.

    :raises InputError: a quote is open, or there is something that only a shell can do.
    """
    part, text = service.part, _plain(service.merged("exec"))
    key = "exec" if part.data.get("exec") is not None else "overrides"
    if found := _OPERATOR.search(_QUOTED.sub("_", text)):
        hint = f"write: sh -c {shlex.quote(text)}"
        message = f"exec runs one program and no shell, so {found[1] or found[2]!r} means nothing to it"
        raise part.error(message, key, hint=hint)
    try:
        words = shlex.split(text)
    except ValueError as e:
        raise part.error(
            f"exec cannot be read: {str(e).lower()}", key, hint="close the quote, or write \\ before it"
        ) from e
    if not words:
        raise part.error("exec is empty", key, hint="write the program and its arguments")
    known = service.known()
    program = _replace(words[0], known, for_shell=False)
    if program.startswith("~/"):
        program = service.context.facts.home + program[1:]
    shell = program.rsplit("/", 1)[-1] in _SHELLS
    line = [program, *(_replace(word, known, for_shell=shell) for word in words[1:])]
    if not program.startswith("/"):
        if "/" in program or "=" in program or "\0" in program or program[0] in "-@:+!|~":
            raise part.error(f"exec begins with {words[0]!r}, which is not a program", key, hint="write its whole path")
        line.insert(0, "/usr/bin/env")
    return " ".join(map(exec_word, line)).replace("\0", "$")


def restart_word(part: LayerPart) -> str:
    """systemd's word for ``restart``.

    :raises InputError: it is none that we know.
    """
    word = _plain(part.data.get("restart", "no"))
    if word not in _RESTART:
        hint = "it can be no, on-failure, always or unless-stopped"
        raise part.error(f"restart is {word!r}", "restart", hint=hint)
    return _RESTART[word]


def _replace(text: str, known: Mapping[str, str], *, for_shell: bool) -> str:
    """``text`` with what is known. The rest is left to the shell, or to systemd: NUL stands for its dollar."""

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2] or match[3]
        if name in known:
            return known[name]
        if for_shell:
            return f"${{{name}}}" if match[3] else match[0]
        return f"\0{{{name}}}"

    return _NAMES.sub(value, text)


def _settings(service: Service, *, new: bool) -> list[str]:
    """What [Service] says besides the command; of a packaged unit only what is written."""
    part = service.part
    lines: list[str] = []
    if user := service.setting("user"):
        lines += _user(service, user)
    elif new and not service.for_user:
        lines.append("User=root")  # said, so that HOME and USER are set
    if folder := service.setting("working_directory"):
        if not folder.startswith("/"):
            hint = "begin it with /, ~/ or ${HOME}/"
            raise part.error(f"working_directory must be absolute, not {folder!r}", "working_directory", hint=hint)
        lines.append(f"WorkingDirectory={specifiers(folder)}")
    if new or part.data.get("restart") is not None:
        lines.append(f"Restart={restart_word(part)}")
        if restart_word(part) != "no":
            lines.append(f"RestartSec={PAUSE}")
    if target := service.setting("stdout"):
        lines.append(f"StandardOutput={_output(part, target)}")
    if span := service.text("stop_timeout"):
        if not _SPAN.fullmatch(span):
            raise part.error(f"stop_timeout is not a time: {span!r}", "stop_timeout", hint="write 30 or 30s")
        lines.append(f"TimeoutStopSec={span}")
    if signal := service.text("stop_signal").upper().removeprefix("SIG"):
        if not re.fullmatch(r"[A-Z0-9+-]+", signal):
            raise part.error(f"stop_signal is not a signal: {signal!r}", "stop_signal", hint="write TERM or SIGTERM")
        lines.append(f"KillSignal={signal if signal.isdigit() else 'SIG' + signal}")
    if part.data.get("exit_codes") is not None:
        codes = re.split(r"[\s,]+", " ".join(_list(part.data["exit_codes"])).strip())
        if not all(code.isdigit() and int(code) < 256 for code in codes):
            raise part.error("exit_codes are numbers from 0 to 255", "exit_codes", hint="write exit_codes: 0,2")
        lines.append(f"SuccessExitStatus={' '.join(codes)}")
    return lines


def _user(service: Service, user: str) -> Iterator[str]:
    facts = service.context.facts
    if service.for_user:
        if user not in {facts.user, str(facts.uid)}:
            hint = "leave one of them out"
            raise service.part.error(f"a service of scope user runs as {facts.user}, not as {user}", "user", hint=hint)
        return
    name, _, group = user.partition(":")
    yield f"User={name}"
    if group:
        yield f"Group={group}"


def _output(part: LayerPart, target: str) -> str:
    if target in {"journal", "none"}:
        return {"journal": "journal", "none": "null"}[target]
    path = target.removeprefix("file:")
    if not target.startswith("file:") or not path.startswith("/"):
        raise part.error(
            f"stdout is {target!r}", "stdout", hint="it can be journal, none, or file: and an absolute path"
        )
    return f"append:{specifiers(path)}"


def _order(service: Service) -> list[str]:
    after, before = (_units(service, key) for key in ("after", "before"))
    wanted = [unit for unit in after if unit == "network-online.target"]  # nothing else makes it be waited for
    settings = {"Wants": wanted, "After": after, "Before": before}
    return [f"{key}={' '.join(units)}" for key, units in settings.items() if units]


def _units(service: Service, key: str) -> list[str]:
    found = []
    for name in _list(service.merged(key)):
        unit = service.names.get(name) or (name if "." in name else f"{name}.service")
        if not re.fullmatch(r"[\w:.@\\-]+", unit, re.ASCII):
            raise service.part.error(
                f"{name!r} is not a valid unit name", key, hint="write network-online.target, for one"
            )
        found.append(unit)
    return found


def _limit(service: Service) -> list[str]:
    """``start_retries``: so many starts after the first, each counted while it has not stayed up for ``start_secs``."""
    if service.part.data.get("start_retries") is None:
        return []
    retries = number(service.part, "start_retries")
    span = (retries + 1) * (number(service.part, "start_secs") + PAUSE + 1)
    return [f"StartLimitBurst={retries + 1}", f"StartLimitIntervalSec={span}"]


def number(part: LayerPart, key: str) -> int:
    """A whole number that is not negative; 0 if it is not written.

    :raises InputError: it is none.
    """
    text = _plain(part.data.get(key, 0))
    if not text.isdigit():
        raise part.error(f"{key} is a whole number, not {text!r}", key, hint=f"write {key}: 3")
    return int(text)


def _sections(sections: Mapping[str, Iterable[str]]) -> str:
    filled = {name: list(lines) for name, lines in sections.items()}
    return "\n".join(f"[{name}]\n" + "".join(f"{line}\n" for line in lines) for name, lines in filled.items() if lines)


def _list(value: Json) -> list[str]:
    if value is None:
        return []
    return [_plain(one) for one in value] if isinstance(value, list) else [_plain(value)]


def _plain(value: Json) -> str:
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)
