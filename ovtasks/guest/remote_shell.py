"""The shell that serves a connection: a loop in the guest that reads scripts from its stdin, one after the other.

So a script may be long and hold secrets (every user of the guest sees an argv), and costs no new process of the SSH
server. The user's own shell reads the loop's text first. It is made of what all shells agree on: words in single
quotes, without line breaks and backslashes inside.

What goes in is a line ``LENGTH TOKEN run|feed``, then so many bytes: the script, with ``#TOKEN`` as its end. What comes
out, on stdout and stderr alike, is a line ``TOKEN``, what the script says, and ``TOKEN=STATUS``.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

NO_ROOT = 126
"""The loop's status when the guest has neither sudo nor doas."""
CUT_SHORT = 125
"""The loop's status when a script did not arrive whole; then none of it has run."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Reads the loop's stdin while a script runs. Its end means that we or the connection are gone: then everything in the
# process group is ended, the loop too; after 3.5 seconds by SIGKILL, if a living process but this one is still in the
# group. Our side waits for that, because this one holds stdout until then.
_WATCHER = (
    'trap "" TERM; while read -r ov_x; do :; done; kill -TERM 0; '
    "read -r ov_p ov_x ov_x ov_x ov_g ov_x </proc/self/stat; "
    "for ov_i in .1 .4 1 1 1; do sleep $ov_i || sleep 1; ov_o=; "
    "for ov_f in /proc/[0-9]*/stat; do read -r ov_a ov_x ov_b ov_x ov_c ov_x <$ov_f; "
    "case $ov_a:$ov_b:$ov_c in $ov_p:*|*:Z:*) ;; *:$ov_g) ov_o=1;; esac; done; "
    '[ "$ov_o" ] || exit; done; kill -KILL 0'
)
# A script gets an empty stdin, or what is fed to it; then it has no watcher, but sees the end itself. If it fails, it
# may have left some of that, which is no next script.
_LOOP = (
    "exec 3<&0 </dev/null; "
    "while read -r ov_n ov_k ov_m <&3; do "
    'ov_s=$(head -c "$ov_n" <&3); '
    f'case $ov_s in *"#$ov_k") ;; *) exit {CUT_SHORT};; esac; '
    'echo "$ov_k"; echo "$ov_k" >&2; '
    'if [ "$ov_m" = feed ]; then (eval "$ov_s") <&3 3<&-; ov_r=$?; else '
    f"({_WATCHER}) <&3 3<&- 2>/dev/null & ov_w=$!; "
    '(eval "$ov_s") 3<&-; ov_r=$?; '
    "{ kill -KILL $ov_w; wait $ov_w; } 2>/dev/null; fi; "
    'echo "$ov_k=$ov_r"; echo "$ov_k=$ov_r" >&2; '
    "case $ov_m$ov_r in run*|feed0) ;; *) exit;; esac; done"
)
# Root's programs are in no ordinary user's PATH, and doas keeps that.
_ROOT_LOOP = f"PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin; export PATH; {_LOOP}"
_BECOME_ROOT = (
    'if [ "$(id -u)" = 0 ]; then exec sh -c "$0"; '
    'elif command -v sudo >/dev/null 2>&1; then exec sudo -n -H sh -c "$0"; '
    'elif command -v doas >/dev/null 2>&1; then exec doas -n sh -c "$0"; '
    f"else exit {NO_ROOT}; fi"
)


def loop_command(*, root: bool) -> str:
    """The command that starts the loop, as root if need be."""
    return as_root(_ROOT_LOOP) if root else f"sh -c '{_LOOP}'"


def as_root(script: str) -> str:
    """The command that runs ``script`` as root; it ends with :data:`NO_ROOT` if there is no way to become root.

    The script has no line breaks, backslashes and single quotes.
    """
    return f"sh -c '{_BECOME_ROOT}' '{script}'"


def framed(script: bytes, token: str, *, env: Mapping[str, str], feed: bool) -> bytes:
    """A script and its variables, as the loop reads them. ``feed``: the script reads what follows from its stdin.

    :raises ValueError: the script or a variable cannot be written so.
    """
    if b"\0" in script:
        raise ValueError("a script has no NUL bytes")
    lines = b"".join(_export(name, value) for name, value in env.items())
    text = lines + script + b"\n#" + token.encode()
    return f"{len(text)} {token} {'feed' if feed else 'run'}\n".encode() + text


def _export(name: str, value: str) -> bytes:
    if not _NAME.fullmatch(name) or "\0" in value:
        raise ValueError(f"{name} cannot be a variable of the environment")
    return f"export {name}={shlex.quote(value)}\n".encode(errors="surrogateescape")
