"""Fetches the files of the guest that layers want here (``artifacts``): a kubeconfig, a certificate."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from ovtasks.deploy.inputs import variables_of
from ovtasks.deploy.wanted import Wanted
from ovtasks.errors import OvError
from ovtasks.guest.connection import Connection
from ovtasks.guest.connection_errors import ConnectionFailedError
from ovtasks.guest.deadline import Deadline
from ovtasks.host.files import write_changed
from ovtasks.host.oserrors import explaining
from ovtasks.host.progress import Progress
from ovtasks.layers.context import LayerContext
from ovtasks.layers.facts import SystemFacts
from ovtasks.project.layer_model import LayerPart

PAUSE = 1.0
"""Seconds between two looks for a file that is waited for."""
_NAME = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}", re.ASCII)


def needed_here(wanted: Wanted, facts: SystemFacts) -> list[Path]:
    """The files of this machine that are to be fetched, and must be there.

    :raises InputError: nobody says what a name in such a path stands for.
    """
    return [target for one, target, _ in _artifacts(wanted, facts) if not one.data.get("optional")]


def fetch_artifacts(wanted: Wanted, connection: Connection, facts: SystemFacts, factor: float, say: Progress) -> None:
    """Fetch the files of all layers. ``factor`` is how much slower the guest runs than with KVM.

    :raises InputError: as :func:`needed_here`.
    :raises OvError: one is not there, though it must be, or cannot be written.
    """
    for one, target, variables in _artifacts(wanted, facts):
        data = _content(one, connection, facts, factor)
        if data is None:
            say.note(f"{one.data['name']}: missing, but optional")
            continue
        rewrite = one.data.get("rewrite")
        for change in rewrite if isinstance(rewrite, list) else ():
            assert isinstance(change, Mapping)
            new = _expanded(str(change["replace"]), variables, one, "rewrite")
            data = data.replace(str(change["find"]).encode(), new.encode())
        with explaining(f"cannot write {target}", target):
            if write_changed(target, data, mode=int(str(one.data.get("mode", "0644")), 8)):
                say.note(f"{one.data['name']}: written to {target}")


def _artifacts(wanted: Wanted, facts: SystemFacts) -> Iterator[tuple[LayerPart, Path, Mapping[str, str]]]:
    """Each artifact, with its place here and the variables of its texts."""
    names = {"deploy_name": wanted.deployment.name, "vm_name": wanted.deployment.vm}
    for layer in wanted.layers:
        if not layer.artifacts:
            continue
        variables = {**LayerContext(layer, facts, variables_of(wanted, layer)).variables, **names}
        for one in layer.artifacts:
            text = _expanded(str(one.data["retrieve_to"]), variables, one, "retrieve_to")
            yield one, wanted.project.root / os.path.expanduser(text), variables  # noqa: PTH111 — takes unknown users


def _expanded(text: str, variables: Mapping[str, str], part: LayerPart, key: str) -> str:
    def value(match: re.Match[str]) -> str:
        found = variables.get(match[1], match[2])
        if found is None:
            hint = f"env: [{match[1]}=…] of the deployment, or vars: of the layer"
            raise part.error(f"nothing says what {match[0]} stands for", key, hint=hint)
        return str(found)

    return _NAME.sub(value, text)


def _content(one: LayerPart, connection: Connection, facts: SystemFacts, factor: float) -> bytes | None:
    """The file, as soon as it is there; None if it is not and need not be.

    :raises ConnectionFailedError: the connection is lost. :raises OvError: the file is not there, though it must be.
    """
    seconds = one.data.get("wait_seconds", 0)
    deadline = Deadline.after(float(seconds) if isinstance(seconds, int) else 0.0, factor=factor)
    path = str(one.data["path"])
    path = f"{facts.home}{path[1:]}" if path.startswith("~/") else path
    while True:
        try:
            return connection.download(path, root=facts.root)
        except ConnectionFailedError:
            raise
        except OvError as e:
            if deadline.expired and one.data.get("optional"):
                return None
            if deadline.expired:
                hint = "wait_seconds: gives it time, optional: true lets it be missing"
                raise OvError(f"artifact {one.data['name']}: {e.message}", hint=hint, where=one.where) from e
        deadline.pause(PAUSE)
