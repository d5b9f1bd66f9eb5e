"""Asks a guest or an image what layers depend on, in one script."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Protocol

from ovtasks.errors import OvError
from ovtasks.guest.connection import Finished
from ovtasks.layers.facts import SystemFacts

SHELLS = ("sh", "bash", "zsh", "fish")
_SCRIPT = f"""\
say() {{ printf '%s\\n' "ov_$1=$2"; }}
say arch "$(uname -m)"
say user "$(id -un)"
say uid "$(id -u)"
say gid "$(id -g)"
say home "$HOME"
say path "$PATH"
if [ -d /run/systemd/system ]; then say booted yes; fi
if [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null || doas -n true 2>/dev/null; then say root yes; fi
shells=
for shell in {" ".join(SHELLS)}; do
    if command -v "$shell" >/dev/null; then shells="$shells $shell"; fi
done
say shells "$shells"
cat /etc/os-release 2>/dev/null || cat /usr/lib/os-release 2>/dev/null || :
"""


class Probed(Protocol):
    """A guest, or the container of an image: it runs a script of ``sh`` as the user who logs in."""

    def run(self, script: str) -> Finished:
        """Run the script to its end."""


def probe(shell: Probed) -> SystemFacts:
    """The facts of the system, for the user who logs in. PATH is what a command over ssh has.

    :raises OvError: the system does not say which distribution it is, or who its user is. Whatever ``shell`` raises.
    """
    done = shell.run(_SCRIPT)
    said = dict(_pair(line) for line in done.text.splitlines() if "=" in line)
    if done.status or not said.get("ID"):
        raise OvError(
            "the system does not say which distribution it is", hint="layers need /etc/os-release with ID= in it"
        )
    if not (said.get("ov_uid", "").isdigit() and said.get("ov_gid", "").isdigit()):
        last = "".join(done.error.strip().splitlines()[-1:])
        raise OvError(f"the system does not say who its user is: {last}", hint="layers need the command id in it")
    return facts_of(said)


def facts_of(said: Mapping[str, str]) -> SystemFacts:
    """The facts in the lines of os-release(5), and in ours, which begin with ``ov_``."""
    return SystemFacts(
        distro=said["ID"],
        version=said.get("VERSION_ID", ""),
        like=tuple(said.get("ID_LIKE", "").split()),
        codename=said.get("VERSION_CODENAME", ""),
        arch=said["ov_arch"],
        user=said["ov_user"],
        uid=int(said["ov_uid"]),
        gid=int(said["ov_gid"]),
        home=said["ov_home"],
        path=said["ov_path"],
        booted="ov_booted" in said,
        shells=tuple(said["ov_shells"].split()),
        root="ov_root" in said,
    )


def _pair(line: str) -> tuple[str, str]:
    name, _, value = line.partition("=")
    if name.startswith("ov_"):
        return name, value
    try:
        return name, "".join(shlex.split(value))
    except ValueError:
        return name, value
