"""Processes beside QEMU that end when QEMU disconnects: daemons such as swtpm(8), and a virtiofsd per shared folder.

Each has a file with its process id, in the VM's directory or its folder of sockets; see :mod:`.process`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from ovtasks.backends.contract import Handle
from ovtasks.backends.qemu import process
from ovtasks.errors import OvError
from ovtasks.host.files import create, discard
from ovtasks.host.packages import package_hint
from ovtasks.host.run import MissingProgramError, run, which
from ovtasks.host.spawn import spawn
from ovtasks.host.state import open_log

if TYPE_CHECKING:
    from ovtasks.machine.devices.filesystem import Share
    from ovtasks.machine.qemu.command import ForkingHelper, Helper

SHARE_LOG = "virtiofsd.log"
GRACE, SHORT = 20.0, 1.0
"""Seconds that they get to save their state: GRACE if their QEMU ends now, SHORT if it ended earlier."""
READY = 20.0
"""Seconds that virtiofsd may take until it listens."""
TAIL = 2000
SOCKET_OPTION = "--socket-path="
"""The option by which a virtiofsd process is recognised."""


def start(handle: Handle, helpers: Sequence[Helper]) -> None:
    """Start the helpers of a VM. The VM must not run, and no helper of it may be left.

    :raises OvError: a helper is not installed or cannot start. The caller then ends the others with :func:`end`.
    """
    from ovtasks.machine.devices.filesystem import Share
    from ovtasks.machine.qemu.command import ForkingHelper

    for helper in helpers:
        if isinstance(helper, ForkingHelper):
            _start_daemon(handle, helper)
        elif isinstance(helper, Share):
            _start_share(handle, helper)


def end(handle: Handle, grace: float = GRACE) -> None:
    """Wait up to ``grace`` seconds for the helpers to end with their QEMU, then kill those that are left."""
    end_in(handle.directory, [handle.sockets], grace)


def end_in(directory: Path, sockets: Collection[Path], grace: float) -> None:
    """Like :func:`end`, for the VM whose files are in ``directory`` and whose sockets are in one of ``sockets``."""
    until = time.monotonic() + grace
    noted = sorted(path for path in directory.glob("*.pid") if path.name != process.PID_FILE)
    noted += [path for folder in sockets for path in sorted(folder.glob(f"*{process.HELPER_SUFFIX}"))]
    for pid_file in dict.fromkeys((*noted, *living(directory, sockets))):
        left = max(until - time.monotonic(), 0.0)
        if process.find_and_restore(pid_file) is not None and not process.end(pid_file, None, left):
            process.kill(pid_file)
        pid_file.unlink(missing_ok=True)


def living(directory: Path, sockets: Collection[Path], lines: Iterable[list[str]] | None = None) -> list[Path]:
    """The process id files of the helpers that live, found by the command lines of all processes.

    A file may be missing: a start that was killed early leaves a process without one. ``lines`` gives command lines
    that were read before.
    """
    found = []
    for line in process.lines() if lines is None else lines:
        for name, value in pairwise(line):
            if name == "--pid" and (path := Path(value.removeprefix("file="))).parent == directory:
                found.append(path)
            if value.startswith(SOCKET_OPTION) and (path := Path(value.removeprefix(SOCKET_OPTION))).parent in sockets:
                found.append(path.with_name(path.name + process.HELPER_SUFFIX))
    return list(dict.fromkeys(found))


def _start_daemon(handle: Handle, helper: ForkingHelper) -> None:
    """Start a program that puts itself into the background.

    :raises OvError: a path has a comma in it, which the program's options cannot express.
    """
    directory = handle.directory
    if "," in f"{directory}{helper.socket}":
        message = f"{helper.name} cannot be given the path {directory}, which has a comma in it"
        raise OvError(message, hint=helper.hint)
    pid_file, log = directory / f"{helper.name}.pid", directory / f"{helper.name}.log"
    helper.state.mkdir(mode=0o700, exist_ok=True)
    helper.socket.unlink(missing_ok=True)
    discard(pid_file)
    create(log, append=True).close()  # the program would follow a link
    run([*helper.words, "--daemon", "--pid", f"file={pid_file}", "--log", f"file={log}"])


def _start_share(handle: Handle, share: Share) -> None:
    """Start the virtiofsd of one shared folder.

    :raises OvError: the folder is missing, or virtiofsd is missing, lacks an option or does not start.
    """
    if not share.source.is_dir():
        raise OvError(f"the folder {share.source} is missing, which the VM shares", hint=f"mkdir -p '{share.source}'")
    program = _program(share)
    log = handle.directory / SHARE_LOG
    before = log.stat().st_size if log.exists() else 0
    share.socket.unlink(missing_ok=True)
    pid_file = share.socket.with_name(share.socket.name + process.HELPER_SUFFIX)
    status = spawn([program, *_words(share, program)], log, pid_file)
    _wait(share, status, log, before)


def _program(share: Share) -> str:
    from ovtasks.backends.qemu.shares import virtiofsd

    if share.program:
        if (named := which(str(share.program))) is None:
            raise MissingProgramError(str(share.program))
        return str(named)
    if (found := virtiofsd()) is None:
        raise OvError("virtiofsd is not installed, which serves shared folders", hint=package_hint("virtiofsd"))
    return found


def _words(share: Share, program: str) -> list[str]:
    from ovtasks.backends.qemu.shares import is_old, translates, translation

    words = [f"{SOCKET_OPTION}{share.socket}"]
    if share.threads is not None:
        words.append(f"--thread-pool-size={share.threads}")
    if not is_old(program):
        words += ["--shared-dir", str(share.source), f"--cache={share.cache or 'auto'}"]
        words += [f"--sandbox={share.sandbox}"] if share.sandbox else []
        if share.login is not None and os.geteuid() != 0 and translates(program):  # root can give files to anybody
            words += translation(share.login)
        return [*words, *(["--xattr"] if share.xattr else []), *(["--readonly"] if share.readonly else [])]
    if share.readonly:
        raise OvError(
            f"this virtiofsd cannot share {share.source} read-only",
            hint="driver: 9p; or a newer virtiofsd, the one written in Rust",
        )
    if "," in str(share.source):
        raise OvError(f"this virtiofsd cannot be given {share.source}, which has a comma in it", hint="rename it")
    options = {"source": share.source, "cache": {"never": "none"}.get(share.cache or "", share.cache or "auto")}
    options |= {"sandbox": share.sandbox} if share.sandbox else {}
    words += [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    if share.xattr is not None:
        words += ["-o", "xattr" if share.xattr else "no_xattr"]
    return [*words, "-f"]


def _wait(share: Share, status: Callable[[], int | None], log: Path, before: int) -> None:
    until = time.monotonic() + READY
    while not share.socket.exists():
        if (ended := status()) is not None or time.monotonic() > until:
            with open_log(log) as file:
                file.seek(before)
                said = file.read().decode(errors="replace").strip()[-TAIL:]
            what = f"ended with status {ended}" if ended is not None else f"does not listen after {READY:g} s"
            lines = "".join(f"\n  | {line}" for line in said.splitlines()[-5:])
            raise OvError(f"virtiofsd for {share.source} {what}{lines}", hint=f"its output is in {log}")
        time.sleep(0.02)
