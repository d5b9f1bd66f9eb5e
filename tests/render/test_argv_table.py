"""The table of the ``libvirt:`` block against QEMU's command line: no field, no value of one, is silently ignored."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

import pytest

from ovtasks.errors import InputError, InputErrors
from ovtasks.render.argv import argv_of
from ovtasks.render.libvirt.read import read
from ovtasks.render.qemu.command import QemuFeatures
from ovtasks.render.qemu.families import command
from tests.render.libvirt_samples import Sample, samples
from tests.render.machines import machine


class _All(frozenset[str]):
    """Every device there may be."""

    def __contains__(self, name: object) -> bool:
        return True


HOST = QemuFeatures("/usr/bin/qemu-system-x86_64", (9, 2), True, True, True, True, _All())
# Fields that say what is so anyhow: QEMU has nothing else, and the table nothing else either.
FIXED = frozenset(
    {
        "devices.usb[].index",  # controllers are named in the order they stand in
        "devices.vsock",  # a VM has one wherever that is possible
        "devices.video[].vram",  # the sample's card has none, and libvirt passes none on
        "devices.hostdevs[].driver.name",  # there is only vfio
        "devices.tpm[].backend.persistent_state",  # the folder that keeps it is the VM's
        "devices.disks[].driver.name",
        "devices.hostdevs[].mode",
        "devices.redirdev[].bus",
        "devices.hub[].type",
        "devices.crypto[].model",
        "devices.crypto[].type",
    }
)


def outcome(libvirt: dict[str, Any], accel: str) -> tuple[str, list[str]]:
    """All that comes of a block as text, and the places of what is refused."""
    of = machine(libvirt=libvirt, cid=70000, ram=1 << 30, accel=accel)
    try:
        made = command(of, HOST)
        text = repr((argv_of(made), made.helpers, made.secrets, made.pins, made.thread_pins))
    except InputErrors as e:
        assert all(error.hint for error in e.errors)
        return "", [error.message for error in e.errors]
    except InputError as e:
        assert e.hint
        return "", [e.message]
    return text, []


def valid() -> Iterator[Sample]:
    for sample in samples():
        try:
            read(sample.libvirt)
        except InputError:
            continue
        yield sample


VALID = list(valid())


def test_almost_every_sample_is_a_valid_spec() -> None:
    """Else this test would look at nothing."""
    paths = {sample.path for sample in samples()}
    assert paths == {sample.path for sample in VALID} and len(paths) > 400
    assert len(VALID) > 0.98 * len(list(samples()))


def related(message: str, path: str) -> bool:
    """Whether an error names the field, or a block or a field beside it that rules it out."""
    named = message.split(" ", 1)[0].rstrip(":").replace("[0]", "[]").removeprefix("libvirt.")
    parts = path.split(".")
    return any(named.startswith(".".join(parts[:n])) for n in range(1, len(parts) + 1)) or named in path


@pytest.mark.parametrize("accel", ["tcg", "kvm"])
def test_a_value_is_in_the_command_line_or_refused_by_name(accel: str) -> None:
    silent = []
    for path, group in groupby(VALID, key=lambda sample: sample.path):
        found = list(group)
        texts = {outcome({}, accel)[0]} if found[0].value == {} else set()
        refused = 0
        for sample in found:
            text, errors = outcome(sample.libvirt, accel)
            refused += bool(errors)
            assert not errors or any(related(error, path) for error in errors), (path, sample.value, errors)
            texts |= {text} if text else set()
            words = sample.value if isinstance(sample.value, list) else [sample.value]
            if text and any(isinstance(word, str) and word in text for word in words):
                texts.add("its own text")
        if refused < len(found) and len(texts) + bool(refused) < 2 and path not in FIXED:
            silent.append(path)
    assert silent == [], "\n".join(silent)
