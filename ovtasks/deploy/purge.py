"""``ov deploy del --purge``: removes folders that layers made, with all that was put into them since, and our record.

An undo leaves such a folder when it is not empty. The guest's record, which ``driver.sh`` describes, tells which
folders were not there before. It has to be asked before the layers are undone.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from ovtasks.errors import OvError
from ovtasks.guest.connection import Connection

_BASE = """\
if [ "$(id -u)" = 0 ]; then base=/var/lib/ovtasks; else base=${XDG_STATE_HOME:-$HOME/.local/state}/ovtasks; fi
"""
_MADE = """\
for state in "$base"/layers/*/operations/*-mkdir-*/state/*.parents; do
    if [ ! -e "$state" ] || [ -e "${state%/state/*}/kept" ]; then continue; fi
    IFS= read -r path <"${state%.parents}.path"
    if [ -d "$path" ] && [ ! -h "$path" ]; then printf '%s\\n' "$path"; fi
done
"""


def made_folders(connection: Connection, *, root: bool) -> tuple[str, ...]:
    """The folders that layers made in the guest.

    :raises OvError: the guest cannot be asked.
    """
    done = connection.run(_BASE + _MADE, root=root)
    if done.status:
        raise OvError(f"the guest's record of layers cannot be read: {done.error.strip()}")
    return tuple(dict.fromkeys(done.text.splitlines()))


def purge(connection: Connection, folders: Sequence[str], *, root: bool) -> None:
    """Remove these folders, as far as they are still there, and the record.

    :raises OvError: something cannot be removed.
    """
    words = " ".join(shlex.quote(folder) for folder in folders if folder.count("/") > 1)
    remove = f"rm -rf --one-file-system -- {words}\n" if words else ""
    done = connection.run(f'{_BASE}set -eu\n{remove}rm -rf -- "$base"\n', root=root)
    if done.status:
        raise OvError(f"not everything could be removed: {done.error.strip()}")
