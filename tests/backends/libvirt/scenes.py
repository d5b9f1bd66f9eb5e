"""Scenes of :mod:`.test_session`: ``python -m tests.backends.libvirt.scenes NAME``, as an ordinary user.

Each leaves no domain and no process behind. Guests have an empty disk: they stay at the BIOS's last word.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
import uuid
from dataclasses import replace
from pathlib import Path

from ovtasks.backends.contract import VmState
from ovtasks.backends.libvirt import session
from ovtasks.backends.libvirt.check import session as doctor
from ovtasks.errors import InputError, OvError, RefusedError
from ovtasks.machine.machine import Boot, Nic
from ovtasks.values.firmware import Firmware
from ovtasks.values.ports import PortForward
from tests.backends.libvirt.scene import (
    DRIVER,
    LAST_WORD,
    SECONDS,
    Guest,
    guest,
    kill_daemon,
    read_until,
    refused,
    until,
)


def capabilities() -> None:
    found = DRIVER.capabilities("x86_64", "q35")
    assert "tcg" in found.accels
    assert found.firmware == ("uefi-insecure", "uefi-secure"), found
    refused(lambda: DRIVER.capabilities("x86_64", "no-such-machine"), "no-such-machine")


def each_firmware() -> None:
    """libvirt's own selection, and explicit files; NVRAM is made at start and goes with the definition."""
    code = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
    shapes = [Boot()]
    for firmware in (Firmware.UEFI_INSECURE, Firmware.UEFI_SECURE):
        shapes.append(Boot(firmware, auto=True, smm=firmware is Firmware.UEFI_SECURE))
    if code.exists():
        shapes.append(Boot(Firmware.UEFI_INSECURE, code=code, template=code.with_name("OVMF_VARS_4M.fd")))
    for boot in shapes:
        with guest("firmware") as plain:
            nvram = plain.handle.directory / "nvram.fd" if boot.firmware is not Firmware.BIOS else None
            vm = plain.changed(boot=replace(boot, nvram=nvram))
            assert vm.state == VmState.UNDEFINED and DRIVER.defined(vm.handle) is None
            vm.define()
            assert vm.state == VmState.STOPPED
            vm.start()
            vm.start()  # again: no error
            status = DRIVER.states([vm.handle])[vm.handle.domain]
            assert status.state is VmState.RUNNING and status.memory == 64 << 20, status
            assert status.pid and status.uptime is not None and status.uptime < SECONDS, status
            assert nvram is None or nvram.exists()
            assert DRIVER.addresses(vm.handle) == ()
            DRIVER.shutdown(vm.handle)  # nobody there hears it
            DRIVER.power_off(vm.handle)
            DRIVER.power_off(vm.handle)
            DRIVER.shutdown(vm.handle)
            assert not Path(f"/proc/{status.pid}").exists()
            assert vm.state == VmState.STOPPED
            assert DRIVER.defined(vm.handle) == DRIVER.render(vm.machine), "starting it changed the definition"
            DRIVER.undefine(vm.handle)
            DRIVER.undefine(vm.handle)
            assert vm.state == VmState.UNDEFINED
            assert {path.name for path in vm.handle.directory.iterdir()} == {"disk.qcow2", "serial.log"}


def stale_nvram() -> None:
    """Variables of one firmware are not given to another."""
    with guest("nvram") as plain:
        nvram = plain.handle.directory / "nvram.fd"
        vm = plain.changed(boot=Boot(Firmware.UEFI_SECURE, auto=True, smm=True, nvram=nvram))
        vm.define()
        nvram.write_bytes(b"of the secure firmware")
        vm.define()
        assert nvram.exists()
        vm.changed(boot=Boot(Firmware.UEFI_INSECURE, auto=True, nvram=nvram)).define()
        assert not nvram.exists()


def console() -> None:
    with guest("console") as vm:
        vm.define()
        refused(lambda: DRIVER.console(vm.handle), "not running")
        vm.start()
        first = DRIVER.console(vm.handle)
        refused(lambda: DRIVER.console(vm.handle), "another console", "--force")
        said = read_until(first, LAST_WORD)
        first.sendall(b"nobody reads this\n")
        first.close()
        again: list[socket.socket] = []

        def reopened() -> bool:
            try:
                again.append(DRIVER.console(vm.handle))
            except OvError as e:
                assert "another console" in str(e), e
                return False
            return True

        until(reopened, "the console is free after it was closed")
        log = vm.machine.serial_log
        until(lambda: LAST_WORD in log.read_bytes(), "the log has what the console showed")
        assert said.strip()[-20:] in log.read_bytes()
        DRIVER.power_off(vm.handle)
        again[0].settimeout(SECONDS)
        while again[0].recv(4096):
            pass
        size = log.stat().st_size
        vm.start()
        until(lambda: log.stat().st_size > size, "the log grows: it is appended to")
        assert log.read_bytes().count(LAST_WORD) >= 1


def daemon_killed() -> None:
    with guest("killed") as vm, guest("other") as other:
        vm.define()
        other.define()
        vm.start()
        pid = DRIVER.states([vm.handle])[vm.handle.domain].pid
        kill_daemon()
        found = DRIVER.states([vm.handle, other.handle])
        assert found["ov-killed"].state is VmState.RUNNING and found["ov-killed"].pid == pid
        assert found["ov-other"].state is VmState.STOPPED
        assert DRIVER.defined(vm.handle) == DRIVER.render(vm.machine)
        kill_daemon()
        vm.start()
        # both at once, as when the host's power fails
        gone = DRIVER.states([vm.handle])["ov-killed"].pid
        assert gone
        os.kill(int((session.runtime_directory() / "libvirtd.pid").read_text()), signal.SIGKILL)
        os.kill(gone, signal.SIGKILL)
        until(lambda: not Path(f"/proc/{gone}").exists(), "QEMU gone")
        assert vm.state == VmState.CRASHED
        vm.start()
        assert DRIVER.states([vm.handle])["ov-killed"].pid not in {None, gone}
        DRIVER.power_off(vm.handle)
        # what a modular daemon leaves does not lead to it
        kill_daemon()
        stale = session.runtime_directory() / "virtqemud-sock"
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(stale))
        found = DRIVER.states([vm.handle])
        assert found["ov-killed"].state is VmState.STOPPED, found
        stale.unlink()


def qemu_killed() -> None:
    with guest("crash") as vm:
        vm.define()
        vm.start()
        pid = DRIVER.states([vm.handle])[vm.handle.domain].pid
        assert pid
        os.kill(pid, signal.SIGKILL)
        until(lambda: vm.state == VmState.CRASHED, "libvirt notices")
        vm.start()
        assert vm.state == VmState.RUNNING


def edited() -> None:
    """What others change is noticed; the next define puts ours in place, also under a running VM."""
    with guest("edited") as vm:
        vm.define()
        daemon = session.connection()
        domain = daemon.lookupByName(vm.handle.domain)
        daemon.defineXML(domain.XMLDesc(2).replace("<on_crash>destroy", "<on_crash>restart"))
        assert DRIVER.defined(vm.handle) is None
        vm.define()
        assert DRIVER.defined(vm.handle) == DRIVER.render(vm.machine)
        vm.start()
        bigger = vm.changed(ram=96 << 20, autostart=True)
        bigger.define()
        assert DRIVER.defined(vm.handle) == DRIVER.render(bigger.machine)
        assert DRIVER.states([vm.handle])[vm.handle.domain].memory == 64 << 20
        assert domain.autostart()
        vm.define()
        assert not domain.autostart()
        (vm.handle.directory / "definition.xml").write_text("half")
        assert DRIVER.defined(vm.handle) is None
        domain.undefine()  # somebody else, while it runs
        assert DRIVER.defined(vm.handle) is None and vm.state == VmState.RUNNING
        vm.define()
        assert DRIVER.defined(vm.handle) == DRIVER.render(vm.machine)


def foreign() -> None:
    with guest("foreign") as vm, guest("foreign-too") as mine:
        mine.define()
        stranger = replace(vm.handle, uuid=str(uuid.uuid4()))
        vm.define()
        for verb in (
            lambda: DRIVER.define(stranger, replace(vm.machine, uuid=stranger.uuid)),
            lambda: DRIVER.start(stranger, vm.machine),
            lambda: DRIVER.undefine(stranger),
            lambda: DRIVER.power_off(stranger),
            lambda: DRIVER.console(stranger),
        ):
            refused(verb, vm.handle.uuid, "not ours", kind=RefusedError)
        status = DRIVER.states([stranger])[vm.handle.domain]
        assert status.state is VmState.UNDEFINED and status.note and "not ours" in status.note
        session.connection().lookupByName(vm.handle.domain).rename("ov-foreign-renamed", 0)
        refused(vm.define, "renamed", "ov-foreign-renamed", kind=RefusedError)


def saved() -> None:
    with guest("saved") as vm:
        vm.define()
        vm.start()
        domain = session.connection().lookupByName(vm.handle.domain)
        domain.managedSave()
        status = DRIVER.states([vm.handle])[vm.handle.domain]
        assert status.state is VmState.STOPPED and status.note and "saved" in status.note
        vm.define()
        assert domain.hasManagedSaveImage(), "nothing changed"
        vm.start()
        assert not domain.hasManagedSaveImage() and vm.state == VmState.RUNNING
        domain.suspend()
        assert vm.state == VmState.PAUSED
        vm.start()
        assert vm.state == VmState.RUNNING
        domain.managedSave()
        vm.changed(ram=96 << 20).define()
        assert not domain.hasManagedSaveImage()
        vm.start()
        domain.managedSave()
        domain.snapshotCreateXML("<domainsnapshot><name>one</name></domainsnapshot>")
        DRIVER.undefine(vm.handle)
        assert vm.state == VmState.UNDEFINED


def two_at_once() -> None:
    """As ``doit create -n 4 -P thread``."""
    with guest("left") as left, guest("right") as right:
        problems: list[BaseException] = []

        def create(vm: Guest) -> None:
            try:
                DRIVER.probe(start=True)
                vm.define()
                vm.start()
            except BaseException as e:
                problems.append(e)
                raise

        threads = [threading.Thread(target=create, args=(vm,)) for vm in (left, right, left, right)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not problems, problems
        assert (left.state, right.state) == (VmState.RUNNING, VmState.RUNNING)


def start_errors() -> None:
    """QEMU's and libvirt's words become a fact and a next step."""
    with guest("errors") as vm, guest("errors-other", sized=False) as diskless, socket.socket() as taken:
        refused(vm.start, "not defined", "ov vm create")
        diskless.define()
        refused(diskless.start, str(diskless.machine.disk), "is missing")
        diskless.machine.disk.write_bytes(b"x" * 100_000)
        refused(diskless.start, "damaged", "qcow2")
        diskless.machine.disk.write_bytes(b"")
        diskless.machine.disk.chmod(0)
        refused(diskless.start, "may not read")
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        nic = replace(vm.machine.nic, forwards=(PortForward(port, 22),))
        blocked = vm.changed(nic=nic)
        blocked.define()
        refused(blocked.start, f"port 127.0.0.1:{port} of this host is taken")
        huge = vm.changed(ram=64 << 40)
        huge.define()
        refused(huge.start, "memory", "--ram")
        vm.define()
        vm.start()
        second = diskless.changed(disk=vm.machine.disk)
        second.define()
        refused(second.start, "another process uses the disk", str(vm.machine.disk))
        DRIVER.power_off(vm.handle)


def networks() -> None:
    """What a session cannot give a card is told before the VM is defined."""
    mac = "52:54:00:00:00:01"
    with guest("networks") as vm:
        for nic, words in (
            (Nic(mac, mode="network", network="nowhere"), ("has no network nowhere", "mode: user", "qemu:///system")),
            (Nic(mac, mode="nat"), ("has no network default", "a session has none of its own")),
            (Nic(mac, mode="bridge", bridge="nosuchbr"), ("nosuchbr does not exist", "ip link add nosuchbr")),
            (Nic(mac, mode="direct", dev="eth0"), ("a libvirt session has not", "qemu:///system")),
        ):
            refused(vm.changed(nic=nic).define, *words)
            extra = {"type": nic.mode if nic.mode != "nat" else "network", "source": _source(nic)}
            second = {"devices": {"interfaces": [{"type": "user"}, extra]}}
            error = refused(vm.changed(libvirt=second).define, words[0], kind=InputError)
            assert isinstance(error, InputError) and error.field == ("libvirt", "devices", "interfaces", 1)
        lab = session.connection().networkDefineXML("<network><name>lab</name><bridge name='ovlab0'/></network>")
        try:
            refused(vm.changed(nic=Nic(mac, mode="network", network="lab")).define, "not active", "net-start lab")
        finally:
            lab.undefine()
            assert vm.state == VmState.UNDEFINED.value


def _source(nic: Nic) -> dict[str, str]:
    names = {"bridge": nic.bridge, "direct": nic.dev}
    key = {"bridge": "bridge", "direct": "dev"}.get(nic.mode, "network")
    return {key: names.get(nic.mode) or nic.network or "default"}


def many() -> None:
    """50 defined VMs are listed by one question."""
    with guest("many") as vm:
        handles = []
        for number in range(50):
            name, own = f"{vm.handle.domain}-{number}", str(uuid.uuid4())
            handles.append(replace(vm.handle, domain=name, uuid=own))
            session.connection().defineXML(DRIVER.render(replace(vm.machine, domain=name, uuid=own)))
        best = SECONDS
        for _ in range(5):
            begun = time.perf_counter()
            found = DRIVER.states(handles)
            best = min(best, time.perf_counter() - begun)
        assert len(found) == 50 and {one.state for one in found.values()} == {VmState.STOPPED}
        assert best < 0.15, best


def probing() -> None:
    """The clear errors: not permitted, not accepting, missing, unknown; and a working session."""
    assert DRIVER.states([]) == {}
    assert "libvirt" in DRIVER.probe(start=True)
    assert "answers" in DRIVER.probe()
    before = {domain.name() for domain in session.connection().listAllDomains()}
    assert "defined and undefined" in doctor()
    assert {domain.name() for domain in session.connection().listAllDomains()} == before
    refused(lambda: DRIVER.probe("no-such:///thing"), "no-such:///thing")
    refused(lambda: DRIVER.probe("test:///default"), "not libvirt's QEMU driver")
    refused(lambda: DRIVER.probe("qemu:///system", start=True), "qemu:///system")
    refused(lambda: DRIVER.probe("qemu:///session?socket=/nowhere/sock"), "/nowhere/sock")
    with guest("unknown") as vm:
        status = DRIVER.states([replace(vm.handle, uri="qemu:///session?socket=/nowhere/sock")])["ov-unknown"]
        assert status.state is VmState.UNKNOWN and status.note and "/nowhere/sock" in status.note


def broken_sessions() -> None:
    """A runtime directory of somebody else's, one that nobody can write to, and a host without libvirt."""
    os.environ["XDG_RUNTIME_DIR"] = "/proc/1/cwd"
    refused(lambda: DRIVER.probe(start=True), "not permitted", "/proc/1/cwd/libvirt/libvirt-sock", "XDG_RUNTIME_DIR")
    os.environ["XDG_RUNTIME_DIR"] = "/proc"
    refused(lambda: DRIVER.probe(start=True), "does not accept", "/proc/libvirt/virtqemud-sock", "systemctl --user")
    setattr(session, "which", lambda program: None)  # noqa: B010 - a name that it imports
    refused(lambda: DRIVER.probe(start=True), "requires libvirt session daemon", "/proc/libvirt/libvirt-sock")
    del os.environ["XDG_RUNTIME_DIR"]
    assert session.runtime_directory() == Path.home() / ".cache/libvirt"


ALL = (
    "probing",
    "broken_sessions",
    "capabilities",
    "each_firmware",
    "stale_nvram",
    "console",
    "daemon_killed",
    "qemu_killed",
    "edited",
    "foreign",
    "saved",
    "two_at_once",
    "start_errors",
    "networks",
    "many",
)


if __name__ == "__main__":
    globals()[sys.argv[1]]()
