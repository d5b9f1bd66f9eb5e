"""Finds this host's QEMU and asks it what it can do."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache

from ovtasks.backends.qemu.qmp import mapping
from ovtasks.errors import OvError
from ovtasks.host.accel import host_arch
from ovtasks.host.packages import package_hint
from ovtasks.host.run import CommandError, MissingProgramError, run, which
from ovtasks.machine.qemu.command import QemuFeatures
from ovtasks.values.arch import arch_of
from ovtasks.values.jsonvalue import Json

OLDEST = (6, 2)
DEADLINE = 120.0  # seconds for a question, on a busy machine
_ALSO = ("/usr/libexec/qemu-kvm", "qemu-kvm")  # the only QEMU on Red Hat; it runs the host's own architecture
_SANDBOX = ("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny")
_QUESTIONS: tuple[tuple[str, Mapping[str, str]], ...] = (
    ("qmp_capabilities", {}),
    ("query-version", {}),
    ("query-kvm", {}),
    ("netdev_add", {"type": "user", "id": "net0"}),
    ("qom-list-types", {"implements": "device"}),
    ("qom-list-types", {"implements": "chardev"}),
    ("quit", {}),
)


def program(arch: str) -> str:
    """The path of the QEMU that runs guests of ``arch``.

    :raises MissingProgramError: it is not installed.
    """
    name = f"qemu-system-{arch_of(arch).qemu}"
    for candidate in (name, *(_ALSO if arch == host_arch() else ())):
        if (path := which(candidate)) is not None:
            return str(path)
    raise MissingProgramError(name)


def features(arch: str) -> QemuFeatures:
    """What the QEMU for ``arch`` can do.

    :raises OvError: it is missing, too old, or does not run at all.
    """
    return _ask(program(arch))


@cache
def _ask(binary: str) -> QemuFeatures:
    """Start QEMU once without a machine and ask it over QMP. If its sandbox fails, ask again without."""
    try:
        answers, sandbox = _answers(binary, *_SANDBOX), True
    except CommandError:
        answers, sandbox = _answers(binary), False
    _, version, kvm, user_network, devices, chardevs, _ = answers
    number = _number(version)
    if number < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        raise OvError(
            f"{binary} is version {'.'.join(map(str, number))}, too old",
            hint=f"{wanted} or newer is needed: {package_hint('qemu-system-x86_64')}",
        )
    return QemuFeatures(
        binary=binary,
        version=number,
        sandbox=sandbox,
        user_network=user_network is not None,
        spice="chardev-spicevmc" in _names(chardevs),
        kvm=mapping(kvm).get("present") is True,
        devices=_names(devices),
    )


def _number(version: Json) -> tuple[int, int]:
    parts = mapping(mapping(version).get("qemu"))
    return int(str(parts.get("major", 0))), int(str(parts.get("minor", 0)))


def _names(types: Json) -> frozenset[str]:
    """The names in an answer to ``qom-list-types``."""
    items = types if isinstance(types, Sequence) else ()
    return frozenset(str(mapping(item).get("name")) for item in items)


def _answers(binary: str, *words: str) -> list[Json]:
    """The answers to :data:`_QUESTIONS`, in their order. None stands for a question that QEMU refused.

    :raises CommandError: QEMU failed or left a question unanswered.
    """
    argv = [binary, "-machine", "none", "-nodefaults", "-no-user-config", "-display", "none", "-qmp", "stdio", *words]
    questions = [{"execute": command, "arguments": arguments} for command, arguments in _QUESTIONS]
    said = run(argv, stdin="\n".join(map(json.dumps, questions)).encode() + b"\n", timeout=DEADLINE)
    messages = [json.loads(line) for line in said.stdout.splitlines()]
    answers = [message for message in messages if "return" in message or "error" in message]
    if len(answers) != len(questions):
        raise CommandError(argv, said.returncode, said.stderr or said.stdout)
    return [answer.get("return") for answer in answers]
