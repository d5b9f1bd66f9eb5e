"""Runs programs that need root's rights over a folder, in their own namespaces, so that nothing outlives us."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from ovtasks.errors import OvError
from ovtasks.host.run import CommandError, Result, require, run, which
from ovtasks.host.users import user_name

# The variables that the packages' scripts may see. Any other could change the image.
KEPT = frozenset(
    {
        *("HOME", "LC_ALL", "PATH"),
        *("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy"),
        *("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY"),
    }
)
NAMESPACES = ("unshare", "--fork", "--pid", "--mount", "--mount-proc", "--kill-child=KILL")
MAPPED = ("--user", "--map-root-user", "--map-auto")
DEADLINE = 4 * 3600.0  # seconds; so that a mirror that never answers does not block a CI for ever
PROBE_SECONDS = 30.0
REFUSALS = ("unshare: ", "newuidmap: ", "newgidmap: ")
SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def prefix() -> list[str]:
    """The words before a command that give it its own processes and mounts and, for an ordinary user, root's rights.

    When ``unshare`` is killed, the kernel ends all processes of the process namespace (unshare(1), ``--kill-child``);
    the mounts go with the last one. In the user namespace we are root, and the subordinate numbers of subuid(5) are the
    other users. Where user namespaces are refused, we take sudo, if it asks for no password.

    :raises MissingProgramError: util-linux, or for an ordinary user newuidmap, is not installed.
    :raises OvError: an ordinary user has no subordinate user numbers.
    """
    if os.geteuid() == 0:
        return list(NAMESPACES)
    require("newuidmap")
    _check_subordinate()
    sudo = by_sudo(os.geteuid())
    return [*sudo, *NAMESPACES] if sudo else [*NAMESPACES, *MAPPED]


@cache
def by_sudo(uid: int) -> tuple[str, ...]:
    """The words that call sudo, if this user may not make namespaces but may use sudo; else none."""
    if uid == 0 or which("sudo") is None or _permits([*NAMESPACES, *MAPPED]):
        return ()
    proxies = sorted(name for name in KEPT - {"HOME", "LC_ALL", "PATH"} if name in os.environ)
    sudo = ("sudo", "-n", *([f"--preserve-env={','.join(proxies)}"] if proxies else []))
    return sudo if _permits([*sudo, *NAMESPACES]) else ()


def _permits(words: Sequence[str]) -> bool:
    return run([*words, "--", "true"], check=False, timeout=PROBE_SECONDS, grace=0).returncode == 0


def inside(
    argv: Sequence[str | os.PathLike[str]],
    *,
    epoch: int,
    cwd: Path | None = None,
    on_line: Callable[[str], None] | None = None,
) -> Result:
    """Run a program to its end in the sandbox, with a bare environment and umask 022; ``epoch``: SOURCE_DATE_EPOCH.

    Its temporary files go to ``cwd``, too: if it is killed, they are removed with that folder.

    :raises OvError: the sandbox is not permitted here. :raises CommandError: the program failed.
    """
    clean = ["env", *(word for name in sorted(set(os.environ) - KEPT) for word in ("-u", name))]
    settings = {
        "SOURCE_DATE_EPOCH": str(epoch),
        "E2FSPROGS_FAKE_TIME": str(epoch),  # e2fsprogs before 1.47.1 does not know SOURCE_DATE_EPOCH
        "PYTHONHASHSEED": "0",
        "DEBIAN_FRONTEND": "noninteractive",
        "TZ": "UTC",
        "PATH": SEARCH,
        **({"TMPDIR": os.fspath(cwd.absolute())} if cwd else {}),
        "LC_ALL": "C.UTF-8",
    }
    clean += [f"{name}={value}" for name, value in settings.items()]
    words = [*prefix(), "--", *clean, "sh", "-c", 'umask 022; exec "$@"', "sh", *(os.fspath(word) for word in argv)]
    try:
        return run(words, cwd=cwd, on_line=on_line, timeout=DEADLINE, grace=0)
    except CommandError as e:
        if e.stderr.lstrip().startswith(REFUSALS):
            raise _refused(e.stderr) from None
        raise CommandError([os.fspath(word) for word in argv], e.returncode, e.stderr) from None


def probe() -> None:
    """Check quickly, before any work, that the sandbox works here.

    :raises MissingProgramError: as :func:`prefix`. :raises OvError: it is not permitted here, or as :func:`prefix`.
    """
    try:
        run([*prefix(), "--", "true"], timeout=PROBE_SECONDS, grace=0)
    except CommandError as e:
        raise _refused(e.stderr) from None


def _refused(said: str) -> OvError:
    first = next((line.strip() for line in said.splitlines() if line.strip()), "unshare failed and said nothing")
    if "root filesystem propagation" in first:
        hint = "a chroot's folder has to be a mount point: mount --bind FOLDER FOLDER, and enter it then"
    elif os.geteuid() == 0:
        hint = "inside a container it has to be allowed: podman run --privileged, or its own seccomp profile"
    else:
        hint = (
            "run it as root, or allow user namespaces (sysctl kernel.unprivileged_userns_clone=1, "
            "kernel.apparmor_restrict_unprivileged_userns=0; inside a container: podman run --privileged)"
        )
    return OvError(f"this machine does not permit what a bootstrap build needs: {first}", hint=hint)


def _check_subordinate() -> None:
    user = user_name()
    for path in (Path("/etc/subuid"), Path("/etc/subgid")):
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        if not any(line.split(":")[0] in {user, str(os.geteuid())} for line in lines):
            raise OvError(
                f"{user} has no entry in {path}",
                hint=f"usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user} (as root)",
            )
