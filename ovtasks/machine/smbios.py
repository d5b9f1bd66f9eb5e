"""systemd credentials that reach a guest without its network or cloud-init: as SMBIOS type 11 strings (OEM strings).

Formats: systemd's documentation, "System and Service Credentials" (systemd.system-credentials(7)) and tmpfiles.d(5).
Guests need systemd 252. Root's keys have a credential of their own. Files for anybody else are written by
systemd-tmpfiles, which reads a single credential, ``tmpfiles.extra``: all its lines go there.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence

from ovtasks.errors import InputError

PREFIX = "io.systemd.credential"
FW_CFG = "opt/io.systemd.credentials/"  # QEMU's other way: it reads a file, so no argument shows the value
TMPFILES = "tmpfiles.extra"
ROOT_KEYS = "ssh.authorized_keys.root"
HOST_KEY = "/etc/ssh/ssh_host_ed25519_key"
KEYS_BESIDE = "/etc/ssh/authorized_keys.d"
SSHD_DROP_IN = "/etc/ssh/sshd_config.d/20-ov-keys.conf"

_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_NOT_IN_NAMES = frozenset("/:\0\n\r")


def ssh_credentials(user: str, keys: Sequence[str], host_key: tuple[str, str] | None = None) -> tuple[str, ...]:
    """The OEM strings that let ``user`` in with ``keys`` (lines of ``authorized_keys``) and, with ``host_key``
    (private, public; OpenSSH's text formats), give sshd its ed25519 host key.

    With a ``host_key`` a string is secret: it is better to put :func:`tmpfiles_extra` into a file of
    ``Machine.credentials``. Without keys and host key there are no strings.

    :raises InputError: no account can be called ``user``.
    """
    strings = []
    if user == "root" and keys:
        strings.append(binary(ROOT_KEYS, _authorized_keys(keys)))
    if text := tmpfiles_extra(user, keys, host_key):
        strings.append(binary(TMPFILES, text))
    return tuple(strings)


def tmpfiles_extra(user: str, keys: Sequence[str], host_key: tuple[str, str] | None = None) -> str:
    """The content of ``tmpfiles.extra``, empty where nothing needs it.

    ``f+`` writes at every boot. So a new key replaces the old one on a disk that has booted before, and what somebody
    adds to ``authorized_keys`` inside the guest lasts only until the next boot. The folder has a line of its own:
    otherwise it would belong to root, and sshd would refuse it. The group stays root's: an account's group may have
    another name, and systemd-tmpfiles skips lines with an unknown group. It also skips lines with an unknown user, and
    makes nothing for them. ``~`` marks content in base64.

    The keys go to a second place, too, which cloud-init does not overwrite. Root's have a credential of their own.

    :raises InputError: no account can be called ``user``.
    """
    lines = []
    if user != "root" and keys:
        folder = f"/home/{_checked(user)}/.ssh"
        owner = _word(user)
        lines.append(f"d {_word(folder)} 0700 {owner} - -")
        lines.append(_file(f"{folder}/authorized_keys", "0600", owner, _authorized_keys(keys)))
        lines += _beside(user, keys)
    if host_key is not None:
        private, public = (text.rstrip("\n") + "\n" for text in host_key)
        lines.append(_file(HOST_KEY, "0600", "root", private))
        lines.append(_file(f"{HOST_KEY}.pub", "0644", "root", public))
    return "".join(line + "\n" for line in lines)


def _beside(user: str, keys: Sequence[str]) -> list[str]:
    """The keys once more where neither cloud-init nor the account's owner writes, and a drop-in: sshd looks there, too.

    The drop-in is for this account alone and begins with OpenSSH's default places. An sshd whose configuration
    includes no ``sshd_config.d`` does not see it, and uses the file in the home.
    """
    if not _PLAIN.fullmatch(user):  # sshd would take it as a pattern
        return []
    places = f".ssh/authorized_keys .ssh/authorized_keys2 {KEYS_BESIDE}/%u"
    return [
        f"d {KEYS_BESIDE} 0755 root - -",
        _file(f"{KEYS_BESIDE}/{user}", "0644", "root", _authorized_keys(keys)),
        "d /etc/ssh/sshd_config.d 0755 root - -",
        _file(SSHD_DROP_IN, "0644", "root", f"Match User {user}\n  AuthorizedKeysFile {places}\n"),
    ]


def binary(name: str, content: str) -> str:
    """The OEM string of a credential whose value may hold any character."""
    return f"{PREFIX}.binary:{name}={_base64(content)}"


def notify_credential(port: int) -> str:
    """The OEM string that has the guest's systemd say ``READY=1`` to a vsock port of the host (whose CID is 2)."""
    return f"{PREFIX}:vmm.notify_socket=vsock-stream:2:{port}"


def hostname_credential(name: str) -> str:
    """The OEM string that names a guest whose /etc/hostname does not (systemd 254)."""
    return f"{PREFIX}:system.hostname={name}"


def fstab_credential(lines: str) -> str:
    """The OEM string with lines of fstab(5) besides those of the guest's /etc/fstab (systemd 254)."""
    return binary("fstab.extra", lines)


def _file(path: str, mode: str, owner: str, content: str) -> str:
    return f"f+~ {_word(path)} {mode} {owner} - - {_base64(content)}"


def _authorized_keys(keys: Sequence[str]) -> str:
    return "".join(key.strip() + "\n" for key in keys)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")


def _checked(user: str) -> str:
    if not user or user in {".", ".."} or not _NOT_IN_NAMES.isdisjoint(user):
        raise InputError(f"{user!r} is not a user name", hint="ssh.user is the name of an account in the guest")
    return user


def _word(text: str) -> str:
    """One field of a tmpfiles.d line: ``%`` begins a specifier, blanks end a field, quotes and backslashes are C's."""
    text = text.replace("%", "%%")
    if not any(char.isspace() or char in "\"'\\" for char in text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
