"""The QEMU command line that libvirt would make from a definition (``virsh domxml-to-native``)."""

from __future__ import annotations

import shlex

from ovtasks.backends.libvirt.diagnosis import diagnosed
from ovtasks.backends.libvirt.session import connection


def argv(text: str, name: str, uri: str | None = None) -> list[str]:
    """The command line for the definition ``text`` of the domain ``name``, as a list of words.

    libvirt puts environment variables (``LC_ALL=C``) in front; they are kept.

    :raises OvError: libvirt cannot translate the definition.
    """
    with diagnosed(f"translate the definition of {name}", name):
        words: str = connection(uri).domainXMLToNative("qemu-argv", text, 0)
    return shlex.split(words)
