"""``file``: a file or folder, its owner, mode and contents."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

from ovtasks.layers.checks.model import CheckVerb, Mismatch, Probe, ProbeFacts, differs, unmet
from ovtasks.layers.checks.script import LIMIT

TYPES = {"file": ("regular file", "regular empty file"), "directory": ("directory",), "symlink": ("symbolic link",)}
"""``filetype`` and what stat(1) calls it."""


def look(check: Probe) -> str:
    """Links are followed, unless ``filetype`` asks for one. What is not a file is not read: a pipe may never end."""
    follow = "" if check.text("filetype") == "symlink" else "-L"
    text = f"""\
F={quote(check.subject)}
if [ ! -e "$F" ] && [ ! -L "$F" ]; then tell exists no; exit; fi
tell exists yes
stat {follow} -c '%F|%a|%U|%G|%u|%g|%s' -- "$F" | fact stat
"""
    if "sha256" in check.data:
        text += 'if [ -f "$F" ]; then sha256sum < "$F" | fact sha256; fi\n'
    return text + ('if [ -f "$F" ]; then fact contents < "$F"; fi\n' if "contains" in check.data else "")


def judge(check: Probe, facts: ProbeFacts) -> Iterator[Mismatch]:
    """What is not as expected; nothing more when the file is not there."""
    exists = facts.get("exists") == b"yes"
    yield from differs("exists", check.wants("exists"), exists)
    if not exists or not check.wants("exists"):
        return
    kind, *rest = facts.get("stat", b"").decode("utf-8", "replace").strip().split("|")
    if len(rest) != 6:
        yield Mismatch("file", "a file that can be looked at", "nothing")
        return
    mode, owner, group, uid, gid, size = rest
    if (wanted := check.text("filetype")) and kind not in TYPES.get(wanted, (wanted,)):
        yield Mismatch("filetype", wanted, kind)
    if wanted := check.text("mode"):
        yield from differs("mode", f"{int(wanted, 8):04o}", f"{int(mode, 8):04o}")
    if (wanted := check.text("owner")) and wanted not in (owner, uid):
        yield Mismatch("owner", wanted, owner)
    if (wanted := check.text("group_of")) and wanted not in (group, gid):
        yield Mismatch("group_of", wanted, group)
    if kind not in TYPES["file"] and (read := [key for key in ("sha256", "contains") if key in check.data]):
        yield Mismatch(read[0], "a regular file", kind)
        return
    if wanted := check.text("sha256"):
        yield from differs("sha256", wanted.lower(), facts.get("sha256", b"").decode().partition(" ")[0])
    if "contains" in check.data:
        if int(size) > LIMIT:
            yield Mismatch("contains", f"a file of at most {LIMIT} bytes", size)
        text = facts.get("contents", b"").decode("utf-8", "replace")
        yield from unmet("contains", check.expectations("contains", "contains"), text)


FILE = CheckVerb("file", ("exists", "filetype", "mode", "owner", "group_of", "contains", "sha256"), look, judge)
