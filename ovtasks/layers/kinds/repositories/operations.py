"""Operations of repositories that are the same for every repository: packages that bring one, COPR, modules of dnf."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from ovtasks.errors import InputError, Where
from ovtasks.layers.fragments import file_upload, quoted
from ovtasks.layers.kinds.functions import call
from ovtasks.layers.kinds.packages.scripts import with_scripts
from ovtasks.layers.operation import Bringer, Gate, Operation
from ovtasks.project.layer_model import LayerPart

KIND = "repositories"


def brought(bringer: Bringer, url: str, digest: str | None, where: Where, what: str) -> bytes:
    """The bytes of ``url``. People are told when nobody says which bytes these must be.

    :raises OvError: they cannot be had, or are others.
    """
    if digest is None:
        bringer.say(f"{what} {url} is not pinned: key_sha256 says which one it must be")
    return bringer.download(url, digest and f"sha256:{digest.lower()}", where).read_bytes()


def release(manager: str, part: LayerPart) -> Operation:
    """A package that brings repositories, from its URL."""
    url = str(part.data["rpm"])
    where = part.place("rpm")

    def complete(operation: Operation, bringer: Bringer) -> Operation:
        bringer.say(f"the package {url} is not pinned, and nothing checks its signature")
        path = bringer.download(url, None, where)
        done = with_scripts(operation, manager, repositories=True)
        return replace(done, uploads=(file_upload("release.rpm", path),))

    return Operation(
        kind=KIND,
        name=f"add the repositories of {PurePosixPath(urlsplit(url).path).name}",
        where=where,
        look=call("ov_release_look"),
        save=call("ov_release_save"),
        do=call("ov_release_do", ov_url=url),
        undo=call("ov_release_undo"),
        in_image=call("ov_release_image", ov_url=url),
        gate=Gate.REPOSITORY,
        complete=complete,
    )


def copr(project: str, where: Where) -> Operation:
    """A COPR project, enabled by dnf's own command.

    :raises InputError: it is none.
    """
    if not re.fullmatch(r"@?[\w.+-]+/[\w.+-]+", project):
        raise InputError(f"{project!r} is not a COPR project", hint="owner/project", where=where)
    return _of_dnf(f"enable the COPR {project}", "ov_copr", (project,), where, ("dnf", "-y", "copr", "enable", project))


def module(written: str, where: Where) -> Operation:
    """A stream of a module.

    :raises InputError: it names none.
    """
    match = re.fullmatch(r"([\w.+-]+):([\w.+-]+)(?:/[\w.+-]+)?", written)
    if match is None:
        raise InputError(f"{written!r} is not a stream of a module", hint="name:stream", where=where)
    words = ("dnf", "-y", "module", "enable", f"{match[1]}:{match[2]}")
    return _of_dnf(f"enable the module {written}", "ov_module", (match[1], match[2]), where, words)


def _of_dnf(name: str, functions: str, words: tuple[str, ...], where: Where, in_image: tuple[str, ...]) -> Operation:
    return Operation(
        kind=KIND,
        name=name,
        where=where,
        look=call(f"{functions}_look", *words),
        save=call(f"{functions}_save", *words),
        do=call(f"{functions}_do", *words),
        undo=call(f"{functions}_undo", *words),
        in_image=" ".join(map(quoted, in_image)) + "\n",
        gate=Gate.REPOSITORY,
        complete=lambda operation, _: with_scripts(operation, "dnf", repositories=True),
    )
