"""The variables that a layer sets, with their final values. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from ovtasks.errors import InputError, Where
from ovtasks.layers.context import LayerContext
from ovtasks.layers.quoting import pam_line
from ovtasks.project.layer_model import LayerSpec

PAM_LINE = 1000
"""What every pam_env takes of a line, in bytes."""
_NAME = re.compile(r"\$\$|\$\{([A-Za-z_]\w*)\}|\$([A-Za-z_]\w*)|%\(ENV_(\w+)\)s", re.ASCII)
_TILDE = re.compile(r"(^|:)~(?=/|:|$)")


@dataclass(frozen=True)
class Variable:
    """A variable with its final value. ``secret``: the value holds a secret."""

    name: str
    value: str
    secret: bool = False

    @property
    def reaches_commands(self) -> bool:
        """Whether pam_env can carry it."""
        return not self.secret and "#" not in self.value and len(pam_line(self.name, self.value).encode()) <= PAM_LINE


def layer_variables(layer: LayerSpec, context: LayerContext) -> Iterator[Variable]:
    """The layer's ``env`` and the deployment's, which wins. ``~``, ``${NAME}`` and ``$NAME`` are replaced.

    Names may be those of the layers that it needs, too.

    :raises InputError: a value has a line break, refers to itself or to what nobody knows; PATH is among them.
    """
    own = {name: str(value) for name, value in layer.environment.data.items()} if layer.environment else {}
    written = own | dict(context.environment)
    for name in written:
        where = layer.environment.place(name) if layer.environment and name in own else layer.where
        if name == "PATH":
            hint = "write the folders that are to be added to path_append"
            raise InputError("env cannot set PATH: other layers add to it", hint=hint, where=where)
        found = _Resolver(written, context, where)
        yield Variable(name, found.value(name), found.secret or name in context.secrets)


def service_variable(
    name: str, written: Mapping[str, str], finals: Iterable[Variable], context: LayerContext, where: Where
) -> Variable:
    """One of a service's own variables, which may name each other and those of the layer, which are ``finals``.

    :raises InputError: as :func:`layer_variables`.
    """
    found = _Resolver(written, context, where, {one.name: one for one in finals})
    return Variable(name, found.value(name), found.secret)


@dataclass
class _Resolver:
    """Replaces names in the values that are ``written``. ``secret`` says whether a secret has come in."""

    written: Mapping[str, str]
    context: LayerContext
    where: Where
    finals: Mapping[str, Variable] = field(default_factory=dict)
    secret: bool = False

    def value(self, name: str, above: tuple[str, ...] = ()) -> str:
        text = _TILDE.sub(lambda match: match[1] + self.context.facts.home, self.written[name])
        found = _NAME.sub(lambda match: self._replace(match, (*above, name)), text)
        if not above and ("\n" in found or "\r" in found):
            hint = "write what needs line breaks to a file, and the file's path here"
            message = f"the value of {name} has a line break, which no login can read"
            raise InputError(message, hint=hint, where=self.where)
        return found

    def _replace(self, match: re.Match[str], above: tuple[str, ...]) -> str:
        name = match[1] or match[2] or match[3]
        if name is None:
            return "$"
        known = self.context.variables
        outside = name in known or name in self.finals
        if name in self.written and (name not in above or not outside):
            if name in above:
                circle = " → ".join((*above[above.index(name) :], name))
                hint = "write out the value of one of them"
                raise InputError(f"variables stand for each other in a circle: {circle}", hint=hint, where=self.where)
            return self.value(name, above)
        if name in self.finals:
            self.secret |= self.finals[name].secret
            return self.finals[name].value
        if name in self.context.secrets:
            self.secret = True
            return self.context.secrets[name]
        if name in known:
            return known[name]
        for number, layer in reversed(list(enumerate(self.context.below))):
            if layer.environment is not None and name in layer.environment.data:
                context = replace(self.context, layer=layer, below=self.context.below[:number])
                written = {key: str(value) for key, value in layer.environment.data.items()}
                other = _Resolver(written, context, layer.environment.place(name))
                found = other.value(name)
                self.secret |= other.secret
                return found
        hint = f"known are {', '.join(sorted(known.keys() | self.written.keys()))}; a plain dollar is written $$"
        message = f"nothing says what {match[0]} in the value of {above[0]} stands for"
        raise InputError(message, hint=hint, where=self.where)
