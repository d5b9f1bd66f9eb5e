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

# Fields with no value that QEMU alone can be given, so that all of them are refused by name.
REFUSED = frozenset(
    {
        # cgroups, which libvirt keeps
        "cputune.shares",
        "cputune.period",
        "cputune.quota",
        "cputune.global_period",
        "cputune.global_quota",
        "cputune.emulator_period",
        "cputune.emulator_quota",
        "cputune.iothread_period",
        "cputune.iothread_quota",
        "cputune.emulatorpin.cpuset",
        "memtune.hard_limit",
        "memtune.soft_limit",
        "memtune.min_guarantee",
        "memtune.swap_hard_limit",
        "resource.partition",
        "resource.fibrechannel.appid",
        # labels
        "seclabel.type",
        "seclabel.model",
        "seclabel.relabel",
        "seclabel.label",
        "seclabel.baselabel",
        "seclabel.imagelabel",
        # libvirt's XML, and its choice of a program
        "devices.emulator",
        "snippets",
        "xml_passthrough",
        # processor and clock: QEMU has no such thing, or not as a fixed word
        "memory_backing.hugepages.nodeset",
        "features.hap",
        "features.ibs",
        "features.hyperv.vendor_id",
        "cpu.cache.level",
        "cpu.cache.mode",
        "clock.timezone",
        "clock.adjustment",
        "clock.basis",
        "clock.timers[].mode",
        "clock.timers[].catchup.threshold",
        "clock.timers[].catchup.slew",
        "clock.timers[].catchup.limit",
        "launch_security.dh_cert",
        "launch_security.session",
        "sysinfo.bios.release",
        # what needs libvirt's pools, secrets, networks, certificates, or its hands on the host
        "devices.disks[].source.pool",
        "devices.disks[].source.volume",
        "devices.disks[].source.auth.username",
        "devices.disks[].source.auth.type",
        "devices.disks[].source.auth.secret",
        "devices.disks[].source.startup_policy",
        "devices.disks[].transient",
        "devices.filesystems[].binary.posix_lock",
        "devices.filesystems[].binary.flock",
        "devices.filesystems[].idmap.uid[].start",
        "devices.filesystems[].idmap.uid[].target",
        "devices.filesystems[].idmap.uid[].count",
        "devices.filesystems[].idmap.gid[].start",
        "devices.filesystems[].idmap.gid[].target",
        "devices.filesystems[].idmap.gid[].count",
        "devices.interfaces[].source.network",
        "devices.interfaces[].source.dev",
        "devices.interfaces[].source.mode",
        "devices.interfaces[].link_state",
        "devices.interfaces[].driver.queues",
        "devices.interfaces[].backend",
        "devices.interfaces[].target",
        "devices.hostdevs[].source.startup_policy",
        "devices.hostdevs[].source.adapter",
        "devices.hostdevs[].source.target",
        "devices.hostdevs[].source.unit",
        "devices.hostdevs[].source.protocol",
        "devices.hostdevs[].source.name",
        "devices.hostdevs[].source.hosts[].name",
        "devices.hostdevs[].source.hosts[].port",
        "devices.hostdevs[].source.hosts[].transport",
        "devices.hostdevs[].source.hosts[].socket",
        "devices.hostdevs[].driver.model",
        "devices.hostdevs[].driver.iommufd",
        "devices.hostdevs[].readonly",
        "devices.hostdevs[].shareable",
        "devices.tpm[].backend.encryption",
        # displays and sounds that need a desktop, TLS or a GPU
        "devices.graphics[].tls_port",
        "devices.graphics[].default_mode",
        "devices.graphics[].p2p",
        "devices.graphics[].display",
        "devices.graphics[].xauth",
        "devices.graphics[].fullscreen",
        "devices.graphics[].listen[].network",
        "devices.graphics[].rendernode",
        "devices.audio[].driver",
        "devices.video[].rendernode",
        # the rest
        "devices.controllers[].ports",
        "devices.controllers[].vectors",
        "devices.controllers[].target.chassis",
        "devices.controllers[].target.port",
        "devices.controllers[].target.hotplug",
        "devices.console[].target.port",
        "devices.smartcard[].source.append",
        "devices.redirdev[].source.append",
        "devices.rng[].source.append",
    }
)
NEEDS_KVM = frozenset(
    {
        "features.hyperv.mode",
        "features.hyperv.relaxed",
        "features.hyperv.vapic",
        "features.hyperv.vpindex",
        "features.hyperv.runtime",
        "features.hyperv.synic",
        "features.hyperv.stimer",
        "features.hyperv.reset",
        "features.hyperv.frequencies",
        "features.hyperv.reenlightenment",
        "features.hyperv.tlbflush",
        "features.hyperv.ipi",
        "features.hyperv.evmcs",
        "features.hyperv.avic",
        "features.hyperv.emsr_bitmap",
        "features.hyperv.xmm_input",
        "features.hyperv.spinlocks",
        "features.hyperv.spinlocks.state",
        "features.hyperv.spinlocks.retries",
        "features.hyperv.vendor_id.state",
        "features.hyperv.vendor_id.value",
        "features.kvm.hidden",
        "features.kvm.hint_dedicated",
        "features.kvm.poll_control",
        "features.kvm.pv_ipi",
        "features.kvm.dirty_ring_size",
        "cpu.migratable",
        "launch_security.type",
        "launch_security.kernel_hashes",
        "launch_security.cbitpos",
        "launch_security.reduced_phys_bits",
        "launch_security.policy",
    }
)


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
    silent, never = [], set()
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
        if refused == len(found):
            never.add(path)
    assert silent == [], "\n".join(silent)
    assert never == REFUSED | (NEEDS_KVM if accel == "tcg" else frozenset())
