"""A process of its own: serves a guest the folders that it mounts by sshfs, for as long as the VM runs.

It is started with the VM and outlives the command that did so. After a reboot of the guest, or when a session broke, it
mounts the folders anew. When the VM's process ends, it ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import sys
import threading
import time
from pathlib import Path

from ovtasks.backends.contract import VmState
from ovtasks.errors import OvError
from ovtasks.guest.deadline import growing
from ovtasks.guest.sshfs import Mounting, NoSshfsError, serve
from ovtasks.host.beneath import UnsafeError, parent
from ovtasks.host.files import part_name
from ovtasks.instance.access import target_of
from ovtasks.instance.existing import existing
from ovtasks.instance.folder import Folder
from ovtasks.instance.record import Record
from ovtasks.instance.saved_machine import load_machine
from ovtasks.instance.sshfs import STATE_FILE, MountState, folders_of
from ovtasks.instance.status import slowness, status
from ovtasks.machine.machine import SharedFolder

LONGEST_PAUSE = 10.0
OPEN_FILES = 1 << 16
"""How many the process may have open where the system sets no limit."""
_ASK_SECONDS = 2.0


class States:
    """What is known of the folders, in a file for other commands."""

    def __init__(self, folder: Folder) -> None:
        self._path = folder.path / STATE_FILE
        self._known: dict[str, MountState] = {}
        self._lock = threading.Lock()

    def note(self, tag: str, state: MountState) -> None:
        """Note a state, and say in the log what is new."""
        with self._lock:
            if self._known.get(tag) == state:
                return
            self._known[tag] = state
            print(f"{time.strftime('%F %T')} {tag}: {state.why or 'mounted'}", file=sys.stderr, flush=True)
            values = {
                tag: {"mounted": one.mounted, "why": one.why, "never": one.never} for tag, one in self._known.items()
            }
            self._write(json.dumps(values).encode())

    def _write(self, data: bytes) -> None:
        """Replace the file, unless the instance's folder is gone: a destroy must stay one."""
        with contextlib.suppress(OSError, UnsafeError), parent(self._path) as (folder, name):
            part = part_name(name)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(part, dir_fd=folder)
            fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
            with os.fdopen(fd, "wb") as file:
                file.write(data)
            os.replace(part, name, src_dir_fd=folder, dst_dir_fd=folder)


def keep(record: Record, share: SharedFolder, states: States) -> None:
    """Mount the folder in the guest again and again. Never returns."""

    pauses = growing(longest=LONGEST_PAUSE)

    def owner(user: int, group: int) -> tuple[int, int]:
        """The host's user is the login there, and whatever the guest writes is the host's user's."""
        login = share.login if share.login is not None else user
        return (login if user == os.geteuid() else user, login if group == os.getegid() else group)

    def mounted() -> None:
        nonlocal pauses
        pauses = growing(longest=LONGEST_PAUSE)
        states.note(share.tag, MountState(mounted=True))

    mounting = Mounting(share.tag, share.source, share.target, share.read_only, owner)
    while True:
        try:
            with contextlib.suppress(OvError):  # its user or key may be others by now
                record = found.record if (found := existing(record.folder)) is not None else record
            target = target_of(record, factor=slowness(record))
            serve(target, mounting, mounted)
        except NoSshfsError as e:
            states.note(
                share.tag, MountState(why=e.message if e.later else f"{e.message}: {e.hint}", never=not e.later)
            )
        except OvError as e:
            states.note(share.tag, MountState(why=e.message))
        time.sleep(next(pauses))


def until_off(record: Record) -> None:
    """Wait until the process that runs the VM now has ended."""
    pid = status(record).pid
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            handle = os.pidfd_open(pid)
            if status(record).pid == pid:  # else the number has another process by now
                poll = select.poll()
                poll.register(handle, select.POLLIN)
                poll.poll()
        return
    while (now := status(record)).active or now.state is VmState.UNKNOWN:
        time.sleep(_ASK_SECONDS)


def main() -> int:
    """Serve the folders of the instance whose process id file is the last argument, until its VM is off."""
    folder = Folder(Path(sys.argv[-1].removeprefix("file=")).parent)
    found, machine = existing(folder), load_machine(folder.machine)
    if found is None or machine is None:
        return 1
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES if most == resource.RLIM_INFINITY else most, most))
    states = States(folder)
    for share in folders_of(machine):
        threading.Thread(target=keep, args=(found.record, share, states), name=share.tag, daemon=True).start()
    until_off(found.record)
    return 0


if __name__ == "__main__":
    status_ = main()
    sys.stderr.flush()
    os._exit(status_)  # the threads wait for the guest
