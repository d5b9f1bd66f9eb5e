"""podman, and the ways to run a container as root: as root ourselves, by sudo, in a podman machine.

The user's own podman (:func:`own`) builds and pulls images. A rootful one (:func:`rootful`) installs disks; it may have
a storage of its own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ovtasks.errors import InputError, OvError
from ovtasks.host import settings
from ovtasks.host.run import CommandError, MissingProgramError, Result, require, run, which

SETTING = "engine.rootful"
MACHINE = "ov-root"
"""The connection to a podman machine that we look for first; after that any connection to a machine's root."""
PROBE_SECONDS = 60.0


class Mode(StrEnum):
    """The ways to run podman."""

    ROOTLESS = "rootless"
    NATIVE = "native"
    SUDO = "sudo"
    MACHINE = "machine"


@dataclass(frozen=True)
class Engine:
    """One way to run podman. ``words`` stand before podman's own words.

    ``root`` stands before a program that must run as root beside it; None if podman runs on another machine. ``why``
    tells people why this way was chosen.
    """

    mode: Mode
    words: tuple[str, ...]
    root: tuple[str, ...] | None = None
    why: str = ""

    def argv(self, *words: str | os.PathLike[str]) -> list[str]:
        """The command line for podman with ``words``."""
        return [*self.words, *(os.fspath(word) for word in words)]

    def run(
        self,
        *words: str | os.PathLike[str],
        check: bool = True,
        cwd: Path | None = None,
        timeout: float | None = None,
        on_line: Callable[[str], None] | None = None,
        end: Callable[[], None] | None = None,
    ) -> Result:
        """Run podman to its end; see :func:`ovtasks.host.run.run`."""
        return run(self.argv(*words), check=check, cwd=cwd, timeout=timeout, on_line=on_line, end=end)

    def environment(self, temporary: str) -> dict[str, str]:
        """Variables that put temporary files into our folder.

        Without a session, rootless podman keeps its runtime directory among the temporary files. That one must stay
        where it is, because podman finds its containers by it.
        """
        environment = {"TMPDIR": temporary}
        if self.mode is Mode.ROOTLESS and not os.environ.get("XDG_RUNTIME_DIR"):
            uid = os.geteuid()
            if not Path(f"/run/user/{uid}").is_dir():
                runtime = Path(os.environ.get("TMPDIR") or "/tmp") / f"podman-run-{uid}"
                runtime.mkdir(mode=0o700, exist_ok=True)
                environment["XDG_RUNTIME_DIR"] = str(runtime)
        return environment

    @property
    def command(self) -> str:
        """The command as a person types it."""
        return " ".join(word for word in self.words if word != "-n")


def own() -> Engine:
    """The user's podman.

    :raises MissingProgramError: it is not installed.
    """
    require("podman")
    if os.geteuid() == 0:
        return Engine(Mode.NATIVE, ("podman",), (), "you are root")
    return Engine(Mode.ROOTLESS, ("podman",))


def rootful(wanted: str | None = None) -> Engine:
    """The podman that may use loop devices and mount: ``wanted``, else what the setting ``engine.rootful`` says.

    :raises InputError: that way does not work; the error gives the reason.
    :raises OvError: ``auto`` found no way.
    """
    setting = settings.get(SETTING)
    mode = wanted or setting.value
    ways: Mapping[str, Callable[[], Engine]] = {"native": _native, "sudo": _sudo, "machine": _machine}
    if mode != "auto":
        try:
            return ways[mode]()
        except MissingProgramError:
            raise
        except OvError as e:
            hint = f"{e.hint}; or ov settings set {SETTING} auto"
            raise InputError(f"{SETTING} is {mode} ({setting.source}): {e.message}", hint=hint) from e
    failures: list[OvError] = []
    for way in ways.values():
        try:
            return way()
        except MissingProgramError as e:
            if e.program == "podman":
                raise
            failures.append(e)
        except OvError as e:
            failures.append(e)
    reasons = "".join(f"\n  {name}: {e.message}" for name, e in zip(ways, failures, strict=True))
    hint = "run it as root, permit sudo without a password, or: podman machine init --rootful --now"
    raise OvError(f"installing a disk takes a container that is root, and there is no way to one:{reasons}", hint=hint)


def _native() -> Engine:
    if os.geteuid() != 0:
        raise OvError("you are not root", hint="run it as root, or choose sudo or machine")
    return own()


def _sudo() -> Engine:
    """podman by sudo, if that asks for no password: nobody could type it into a build that runs beside others."""
    require("podman")
    if which("sudo") is None:
        raise MissingProgramError("sudo")
    sudo = ("sudo", "-A") if os.environ.get("SUDO_ASKPASS") else ("sudo", "-n")
    done = run([*sudo, "true"], check=False, timeout=PROBE_SECONDS)
    if done.returncode != 0:
        said = " ".join(done.stderr.split()) or f"status {done.returncode}"
        raise OvError(f"sudo does not let you: {said}", hint="permit it without a password, or name a $SUDO_ASKPASS")
    return Engine(Mode.SUDO, (*sudo, "podman"), sudo, "sudo asks for no password")


def _machine() -> Engine:
    """podman over a connection to the root of a podman machine, or to another rootful podman."""
    require("podman")
    done = run(["podman", "system", "connection", "list", "--format", "json"], check=False, timeout=PROBE_SECONDS)
    known = json.loads(done.stdout or "null") or [] if done.returncode == 0 else []
    names = [str(connection.get("Name", "")).removesuffix("*") for connection in known]
    chosen = next((name for name in (MACHINE, *names) if name in names and name.endswith("-root")), None)
    if chosen is None:
        raise OvError("podman has no connection to a machine's root", hint="podman machine init --rootful --now ov")
    try:
        run(["podman", "--connection", chosen, "info", "--format", "{{.Host.Arch}}"], timeout=PROBE_SECONDS)
    except CommandError as e:
        raise OvError(f"the connection {chosen} does not answer: {_last(e.stderr)}", hint="podman machine start") from e
    return Engine(Mode.MACHINE, ("podman", "--connection", chosen), None, f"podman's connection {chosen} answers")


def _last(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it said nothing"
