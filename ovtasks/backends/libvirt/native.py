"""The QEMU command line that libvirt would make of a definition (``virsh domxml-to-native``)."""

from __future__ import annotations

import shlex

from ovtasks.backends.libvirt.diagnosis import diagnosed
from ovtasks.backends.libvirt.session import connection


def argv(text: str, name: str, uri: str | None = None) -> list[str]:
    """The words for the definition ``text`` of the domain ``name``. Variables of the environment (``LC_ALL=C``), which
    libvirt writes in front, stay there.

    :raises OvError: libvirt cannot say.
    """
    with diagnosed(f"translate the definition of {name}", name):
        words: str = connection(uri).domainXMLToNative("qemu-argv", text, 0)
    return shlex.split(words)
