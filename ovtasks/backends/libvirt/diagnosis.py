"""Turns messages of libvirt and QEMU into errors that say what happened and what to do next.

If a domain does not match libvirt's schema, libvirt rejects it as a whole without saying where. So
:func:`diagnose_snippets` tries each of the user's XML snippets alone, in the domain without the others.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from ovtasks.backends.libvirt.session import load
from ovtasks.errors import InputError, OvError
from ovtasks.host.packages import package_hint
from ovtasks.host.run import run, which
from ovtasks.machine.machine import Machine, Snippet

if TYPE_CHECKING:
    import libvirt

PROGRAM = "virt-xml-validate"
_INVALID = "against schema"
SCHEMA_HINT = 'libvirt\'s documentation, "Domain XML format", says which elements and attributes there are'

# Pattern, fact, hint. The first pattern that matches wins. In both texts, ``{1}`` stands for the pattern's first group
# that matched and ``{name}`` for the domain. The hint ``package:X`` becomes the command that installs X here.
_SIGNS = (
    (
        r"(?:rule '(?:tcp|udp):|[Ff]ailed to bind .* for (?:option )?'-\w )([\w.:/\[\]]*)",
        "the port {1} of this host is taken (or below 1024)",
        "ss -ltunp shows by whom; ssh.port and network.port_forwards choose others",
    ),
    (
        r"reds_init_socket: binding socket to (\S+) failed|-vnc ([\d.]+:\d+)[^\n]*: Address already in use",
        "the place {1} of the display is taken",
        "ss -ltnp shows by whom; port: in libvirt.devices.graphics chooses another",
    ),
    (
        r"(?:storage file|[Oo]pen(?: file)?) '([^']*)'.*No such file",
        "{1} is missing",
        "ov vm create makes what belongs to a VM",
    ),
    (
        r"(?:storage file|[Oo]pen(?: file)?) '([^']*)'.*Permission denied",
        "QEMU may not read or write {1}",
        "look at its permissions, and at those of the folders above it",
    ),
    (
        r"open backing store (\S+) for guest RAM: Permission denied",
        "QEMU may not put the guest's memory into {1}",
        "look at the permissions of {1}; libvirt.memory_backing says what kind of memory the guest gets",
    ),
    (
        r"Failed to get .*lock[\s\S]*using the image \[([^\]]*)\]",
        "another process uses the disk {1}",
        "end it first: fuser -v on that file names it",
    ),
    (
        r"(Image is not in \w+ format)",
        "the VM's disk is damaged: {1}",
        "qemu-img check; a new one: ov vm destroy --disk",
    ),
    (
        r"cannot set up guest memory|Cannot allocate memory",
        "not enough memory for {name}",
        "a smaller ram:, or ov vm create --ram",
    ),
    (
        r"hugetlbfs filesystem is not mounted|hugepages: |unable to map backing store",
        "this host has no huge pages to give",
        "sysctl vm.nr_hugepages=NUMBER reserves some; or remove libvirt.memory_backing.hugepages",
    ),
    (
        r"cannot limit locked memory|[Ll]ocking memory|mlockall",
        "so much memory may not be locked",
        "raise the limit (memlock in limits.conf), or remove libvirt.memory_backing.locked",
    ),
    (
        r"/dev/dri",
        "this host has no graphics processor for OpenGL",
        "remove gl and rendernode, and graphics of type egl-headless",
    ),
    (r"vhost-vsock", "this host has no vsock for VMs", "modprobe vhost_vsock; or remove libvirt.devices.vsock"),
    (
        r"accel 'kvm' is not supported|/dev/kvm|KVM kernel module|Emulator .* virt type 'kvm'",
        "KVM cannot be used",
        "accel: auto, or accel: tcg; ov doctor says what is missing for KVM",
    ),
    (
        r"nable to find any (?:firmware|master var store)",
        "libvirt finds no such UEFI firmware",
        "package:OVMF",
    ),
    (
        r"Network not found: .*'([^']*)'|network '([^']*)' is not active",
        "libvirt has no active network {1}",
        "a session has none of its own: network.mode: user, or OV_LIBVIRT_URI=qemu:///system; virsh net-start",
    ),
    (
        r"bridge.helper[\s\S]*?(?:acl|denied|No such)|br=(\S+)[\s\S]*(?:acl|denied)",
        "the bridge cannot be used",
        "a line 'allow BRIDGE' in /etc/qemu/bridge.conf lets ordinary users use it",
    ),
    (r"virtlogd", "libvirt's log daemon virtlogd cannot be used", "package:virtlogd"),
    (r"swtpm_setup.*[Cc]heck error log '([^']*)'", "swtpm_setup cannot make the emulated TPM", "{1} says why"),
    (r"swtpm_setup", "the emulated TPM needs swtpm_setup", "package:swtpm_setup"),
    (r"swtpm", "the emulated TPM does not start", "package:swtpm"),
    (
        r"\bpasst\b",  # the word alone, so that "host-passthrough" does not match
        "passt, which forwards the ports, does not start",
        "without the program passt, QEMU's own network is used",
    ),
    (
        r"[Ff]ailed to (?:terminate|kill) process",
        "QEMU of {name} does not end",
        "its process waits for a device or a network disk; try again",
    ),
    (
        r"[Ee]nd of file while reading|client socket is closed|Connection reset|Broken pipe|Cannot recv data",
        "the libvirt daemon went away",
        "run the command again; it starts a session daemon that is not there",
    ),
)
_NOISE = re.compile(r"^(?:internal error|unsupported configuration|operation failed|invalid argument): ")
_QEMU = re.compile(r"(?:(?i:qemu unexpectedly closed)|process exited while connecting)[^\n]*?: \S+Z (qemu-\S+: )?")
# libvirt quotes the end of QEMU's log. Lines that libvirt itself wrote there are no complaints. Above all, the command
# line must go: it names every program and file of the VM. Warnings are dropped, too, unless there is nothing else.
_ECHO = re.compile(r"^(?:.*\\|-\w.*|.*: starting up libvirt version.*|.*: shutting down, reason=.*)$", re.MULTILINE)
_WARNING = re.compile(r"^\S+Z qemu-\S+: warning: (?!Spice: .*binding socket).*$", re.MULTILINE)


def diagnose(error: libvirt.libvirtError, doing: str, name: str) -> OvError:
    """Turn ``error`` into an OvError. ``doing`` says what failed ("start ov-web"); ``name`` is the domain."""
    said = str(error)
    complaint = _complaint(said)
    plain = _QEMU.sub(r"\1", _NOISE.sub("", complaint)).strip()
    for pattern, message, hint in _SIGNS:
        if found := re.search(pattern, complaint):
            first = next((group for group in found.groups() if group), "").rstrip(":-")
            fact, step = (text.replace("{1}", first).replace("{name}", name) for text in (message, hint))
            fact = fact.replace("  ", " ")
            step = package_hint(step.removeprefix("package:")) if step.startswith("package:") else step
            return OvError(f"cannot {doing}: {fact}\n  | {plain}", hint=step)
    return OvError(f"cannot {doing}: {plain}", hint=None)


def _complaint(said: str) -> str:
    """The complaints of libvirt and QEMU, without the other lines of the log."""
    text = _ECHO.sub("", said)
    text = _WARNING.sub("", text) if _WARNING.sub("", text).strip() else text
    return "\n".join(line for line in text.splitlines() if line.strip()) or said


@contextlib.contextmanager
def diagnosed(doing: str, name: str) -> Iterator[None]:
    """Turn libvirt's errors inside the ``with`` block into OvError; see :func:`diagnose`."""
    try:
        yield
    except load().libvirtError as e:
        raise diagnose(e, doing, name) from e


def diagnose_snippets(error: OvError, machine: Machine, render: Callable[[Machine], str]) -> OvError:
    """Point the error of a failed define at the snippet that causes it. Other errors are returned as they are."""
    if _INVALID not in error.message or not machine.snippets:
        return error
    if which(PROGRAM) is None:
        names = ", ".join(snippet.name for snippet in machine.snippets)
        error.hint = f"look at {names}; {SCHEMA_HINT}"
        return error
    for snippet in machine.snippets:
        if not _valid(render(replace(machine, snippets=(snippet,)))):
            return _at(snippet)
    return error


def _valid(text: str) -> bool:
    return run([PROGRAM, "-", "domain"], stdin=text.encode(), check=False, timeout=60).returncode == 0


def _at(snippet: Snippet) -> InputError:
    message = f"{snippet.name}: libvirt's schema has no such thing in a domain"
    return InputError(message, hint=SCHEMA_HINT, field=snippet.field, where=snippet.where)
