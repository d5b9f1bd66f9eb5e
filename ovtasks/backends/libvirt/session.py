"""Connects to libvirt, and finds or starts its session daemon.

There is one connection per URI and process; one that broke is opened anew. The paths of the daemon's sockets follow
libvirt's ``virGetUserRuntimeDirectory`` and "Connection URIs" in its documentation: first the modular daemon's
(``virtqemud-sock``), then that of the older monolithic one (``libvirt-sock``).
"""

from __future__ import annotations

import atexit
import contextlib
import os
import socket
import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from ovtasks.errors import InputError, OvError
from ovtasks.host.packages import extra_hint, package_hint
from ovtasks.host.patience import waiting_for
from ovtasks.host.run import run, which

if TYPE_CHECKING:
    import libvirt

DEFAULT_URI = "qemu:///session"
SOCKETS = ("virtqemud-sock", "libvirt-sock")
DAEMONS = ("virtqemud", "libvirtd")
UNITS = ("virtqemud.service", "libvirtd.service")
SYSTEMCTL_SECONDS = 30.0
ENABLE = "systemctl --user enable --now virtqemud.service (or libvirtd.service)"


def uri_of(uri: str | None = None) -> str:
    """The connection to use: the one given, else ``OV_LIBVIRT_URI``, else the user's own session."""
    return uri or os.environ.get("OV_LIBVIRT_URI") or DEFAULT_URI


def is_local(uri: str) -> bool:
    """Whether the daemon is on this machine."""
    parts = urlsplit(uri)
    return not parts.netloc and not parts.scheme.endswith(("+ssh", "+tcp", "+tls", "+libssh", "+libssh2", "+ext"))


def is_own_session(uri: str) -> bool:
    """Whether it is this user's own session daemon, at its usual socket."""
    parts = urlsplit(uri)
    return is_local(uri) and parts.path == "/session" and "socket" not in parse_qs(parts.query)


@cache
def load() -> ModuleType:
    """Import the module ``libvirt`` and stop it from printing errors itself.

    :raises OvError: the module is not installed.
    """
    try:
        import libvirt
    except ImportError as e:
        raise OvError(
            "the libvirt backend needs the Python module libvirt",
            hint=f"{extra_hint('libvirt')}, or {package_hint('python3-libvirt')}",
        ) from e
    libvirt.registerErrorHandler(_say_nothing, None)
    atexit.register(_let_go)
    module: ModuleType = libvirt
    return module


def _let_go() -> None:
    """Close all connections while the libvirt module is still intact. The interpreter would tear down the module first,
    and each connection would then end with a traceback."""
    from gc import collect

    _connections.clear()
    collect()


def _say_nothing(_context: object, _error: object) -> None:
    """Replaces libvirt's handler, which prints each error to stderr."""


def runtime_directory() -> Path:
    """Where libvirt keeps the session's sockets and the pid files of its VMs.

    Without ``XDG_RUNTIME_DIR`` (cron, su), libvirt falls back to the cache folder. A second daemon would start there,
    which knows the same VMs but does not see that they run. So it is set here if ``/run/user/UID`` is the user's.
    """
    value = os.environ.get("XDG_RUNTIME_DIR")
    usual = Path("/run/user") / str(os.getuid())
    if not value and usual.is_dir() and usual.stat().st_uid == os.getuid():
        os.environ["XDG_RUNTIME_DIR"] = value = str(usual)
    if value:
        return Path(value) / "libvirt"
    cached = os.environ.get("XDG_CACHE_HOME")
    return (Path(cached) if cached else Path.home() / ".cache") / "libvirt"


@dataclass(frozen=True)
class Socket:
    """A socket of the daemon. ``problem`` says why nothing answers there; None if a daemon accepts connections."""

    path: Path
    problem: OSError | None = None

    def __str__(self) -> str:
        reason = "accepts" if self.problem is None else self.problem.strerror or str(self.problem)
        return f"{self.path}: {reason}"


def sockets() -> tuple[Socket, ...]:
    """Try the session daemon's sockets, in libvirt's order."""
    return tuple(_try(runtime_directory() / name) for name in SOCKETS)


def _try(path: Path) -> Socket:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError as e:
            return Socket(path, e)
    return Socket(path)


def daemon() -> Path | None:
    """The program of the session daemon. None if it is not installed."""
    return next((found for name in DAEMONS if (found := which(name))), None)


def ensure_session(*, start: bool) -> str:
    """Check that the session daemon can be used, and describe what was found. ``start`` allows starting it.

    :raises OvError: it is not installed, or this user may not use it, or the user is root, who has no session.
    """
    if os.geteuid() == 0:
        raise OvError(
            "root has no libvirt session: for root, libvirt answers qemu:///session with the system's own daemon",
            hint="run as an ordinary user, or OV_LIBVIRT_URI=qemu:///system, or backend: qemu",
        )
    found = sockets()
    _check_permitted(found)
    if working := next((one for one in found if one.problem is None), None):
        return f"a libvirt session daemon answers at {working.path}"
    program = daemon()
    if program is None:
        raise _missing(found)
    if not start:
        return f"{program} is installed; it starts when it is needed"
    for unit in UNITS:
        _start_unit(unit)
        if any(_try(one.path).problem is None for one in found):
            return f"the libvirt session daemon was started ({unit})"
    return f"{program} is started by libvirt itself"


def _start_unit(unit: str) -> None:
    """Ask the user's service manager, if there is one, to start ``unit``. A failure is ignored."""
    if which("systemctl") and (runtime_directory().parent / "systemd" / "private").exists():
        with contextlib.suppress(OvError):
            run(["systemctl", "--user", "start", unit], check=False, timeout=SYSTEMCTL_SECONDS)


def _places(found: tuple[Socket, ...]) -> str:
    return "looked at " + ", ".join(str(one) for one in found)


def _missing(found: tuple[Socket, ...]) -> OvError:
    return OvError(
        f"libvirt backend requires libvirt session daemon, and none is installed; {_places(found)}",
        hint=f"{package_hint('libvirtd')}, then {ENABLE}; or backend: qemu",
    )


def _not_accepting(found: tuple[Socket, ...], reason: str) -> OvError:
    return OvError(
        f"the libvirt session daemon does not accept connections: {reason}; {_places(found)}",
        hint=f"{ENABLE}; journalctl --user -u virtqemud says why it ends; or backend: qemu",
    )


def _check_permitted(found: tuple[Socket, ...]) -> None:
    denied = next((one for one in found if isinstance(one.problem, PermissionError)), None)
    if denied is not None:
        raise OvError(
            f"not permitted to use the libvirt session daemon's socket {denied.path}; {_places(found)}",
            hint=f"{denied.path.parent.parent} must belong to you, mode 0700 (XDG_RUNTIME_DIR of another user, by su?)",
        )


_connections: dict[tuple[int, str], libvirt.virConnect] = {}
_locks: dict[str, threading.Lock] = {}
_guard = threading.Lock()


def connection(uri: str | None = None) -> libvirt.virConnect:
    """A working connection to ``uri``. Threads may share it; a forked process gets its own.

    :raises OvError: connecting failed; the message says whether the daemon is missing, refuses or is not permitted.
    """
    name = uri_of(uri)
    with _guard:
        lock = _locks.setdefault(name, threading.Lock())
    with lock:
        key = (os.getpid(), name)
        known = _connections.get(key)
        if known is not None and _answers(known):
            return known
        _connections[key] = fresh = open_connection(name)
        return fresh


def _answers(known: libvirt.virConnect) -> bool:
    """Whether the daemon still answers. Only a call can tell that it is gone."""
    try:
        known.getLibVersion()
    except load().libvirtError:
        return False
    return True


def open_connection(uri: str) -> libvirt.virConnect:
    """Open a new connection, not shared. libvirt's client starts the session daemon if none runs.

    :raises OvError: as :func:`connection`.
    """
    libvirt = load()
    mode = None
    if is_own_session(uri):
        ensure_session(start=True)
        mode = _mode(sockets())
    try:
        with waiting_for(f"libvirt ({uri})"):
            return libvirt.open(f"{uri}{'&' if '?' in uri else '?'}mode={mode}" if mode else uri)
    except libvirt.libvirtError as e:
        raise _diagnose_connection(uri, e) from e


def _mode(found: tuple[Socket, ...]) -> str | None:
    """The ``mode`` for libvirt's client, or None to let it choose. It takes the first socket that exists, even one that
    a killed daemon left behind. Then it must be told which daemon there really is."""
    modular, monolithic = found
    if modular.problem is not None and modular.path.exists():
        return "legacy" if monolithic.problem is None or which("virtqemud") is None else None
    if monolithic.problem is not None and monolithic.path.exists() and which("libvirtd") is None:
        return "direct"
    return None


def _diagnose_connection(uri: str, error: libvirt.libvirtError) -> OvError:
    libvirt = load()
    code, said = error.get_error_code(), str(error)
    denied = {libvirt.VIR_ERR_AUTH_FAILED, libvirt.VIR_ERR_AUTH_CANCELLED, libvirt.VIR_ERR_AUTH_UNAVAILABLE}
    if code in {libvirt.VIR_ERR_INVALID_ARG, libvirt.VIR_ERR_NO_CONNECT} and "no connection driver" in said:
        return InputError(f"{uri} is not a connection that libvirt knows: {said}", hint=DEFAULT_URI)
    if is_own_session(uri):
        found = sockets()
        _check_permitted(found)
        return _not_accepting(found, said)
    if not is_local(uri):
        return OvError(f"cannot connect to {uri}: {said}", hint=f"virsh -c '{uri}' list shows the same; try ssh first")
    if code in denied or "Permission denied" in said:
        return OvError(
            f"not permitted to use {uri}: {said}", hint="add yourself to the group libvirt, then log in again"
        )
    return OvError(
        f"nothing accepts connections to {uri}: {said}",
        hint=f"{package_hint('libvirtd')}; systemctl enable --now virtqemud.socket (or libvirtd.service)",
    )
