"""libvirt itself takes the domains, and starts them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from ovtasks.host.run import Result, run
from ovtasks.machine.machine import Machine, Nic
from ovtasks.machine.xml.domain import NAMESPACE, domain_xml
from ovtasks.values.jsonvalue import Json
from ovtasks.values.ports import PortForward
from tests.machine.test_domain import SHAPES, arguments, one
from tests.support.machines import DESKTOP, HOST, MAC, machine, shapes
from tests.support.qemu import free_port
from tests.support.user import User, new_user


@dataclass
class Session:
    """An ordinary user's libvirt, which its first connection starts."""

    user: User

    def virsh(self, *words: str | Path, check: bool = True) -> Result:
        home = self.user.home
        environment = [f"HOME={home}", f"XDG_RUNTIME_DIR={home / 'run'}", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
        command = ["virsh", "--quiet", "--connect", "qemu:///session", *words]
        return run([*self.user.words, "env", "-i", *environment, *command], check=check, cwd=home, timeout=120)

    def end(self) -> None:
        """Its machines, then the daemon."""
        for name in self.virsh("list", "--name", check=False).stdout.split():
            self.virsh("destroy", name, check=False)
        for file in (self.user.home / "run/libvirt").glob("*d.pid"):
            pid = int(file.read_text())
            os.kill(pid, signal.SIGTERM)
            end = time.monotonic() + 60
            while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
                time.sleep(0.05)


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with new_user(subordinate=False) as user:
        (user.home / "run").mkdir(mode=0o700)
        run(["chown", f"{user.name}:", user.home / "run"])
        session = Session(user)
        try:
            yield session
        finally:
            session.end()


@pytest.fixture
def folder(session: Session, request: pytest.FixtureRequest) -> Path:
    """The user's, with a disk and a seed."""
    folder: Path = session.user.home / "data" / request.node.name.replace("[", "-").rstrip("]")
    folder.mkdir(parents=True)
    run(["qemu-img", "create", "-q", "-f", "qcow2", folder / "disk.qcow2", "1M"])
    for name in ("seed.iso", "tmpfiles", "a"):
        (folder / name).write_bytes(bytes(4096))
    run(["chown", "-R", f"{session.user.name}:", folder.parent])
    return folder


WITHOUT_SPICE: dict[str, Json] = {
    "graphics": [{"type": "vnc"}],
    "channels": [{"type": "unix", "name": "org.example.0"}],
}


def here(session: Session, of: Machine) -> Machine:
    """Without what this host may lack: a TPM emulator, and SPICE."""
    if not of.libvirt:
        return of
    blocks: Any = dict(DESKTOP["devices"])  # type: ignore[arg-type]
    del blocks["tpm"]
    if "<value>spice</value>" not in session.virsh("domcapabilities", "--virttype", "qemu").stdout:
        blocks |= WITHOUT_SPICE
    return replace(of, libvirt={**DESKTOP, "devices": blocks})


@pytest.mark.slow
@pytest.mark.parametrize("name", SHAPES)
def test_libvirt_takes_it(session: Session, folder: Path, name: str) -> None:
    of = here(session, shapes(folder)[name])
    text = domain_xml(of, HOST)
    file = folder / "domain.xml"
    file.write_text(text)
    session.virsh("define", "--validate", file)
    try:
        back = ET.fromstring(session.virsh("dumpxml", "--inactive", of.domain).stdout)
        wrote = ET.fromstring(text)
        for path in ("name", "uuid", "title", "memory", "vcpu", "os/loader", "os/nvram", "cpu/model", "sysinfo"):
            assert [e.text and e.text.strip() for e in back.findall(path)] == [
                e.text and e.text.strip() for e in wrote.findall(path)
            ]
        own = f"metadata/{{{NAMESPACE}}}vm"
        assert one(back, own).attrib == one(wrote, own).attrib
        assert [e.attrib for e in back.findall("devices/disk/source")] == [
            e.attrib for e in wrote.findall("devices/disk/source")
        ]
        assert arguments(back) == arguments(wrote)
        assert (back.find("os/smbios") is None) is (wrote.find("os/smbios") is None)
    finally:
        session.virsh("undefine", "--nvram", of.domain)


@pytest.mark.slow
def test_libvirt_starts_it(session: Session, folder: Path) -> None:
    """A machine with everything that needs no firmware file: QEMU takes what libvirt makes of it, and the BIOS says on
    the serial port, kept in the log, that there is nothing to boot."""
    desktop = machine(
        folder,
        libvirt={
            "features": {"vmport": False, "pmu": "off"},
            "cpu": {"model": "qemu64"},
            "devices": {
                **WITHOUT_SPICE,  # an autoport is free for sure
                "video": [{"model": "virtio", "vram": 65536, "heads": 1, "accel3d": False}],
                "rng": [{"backend": "builtin"}],
                "memballoon": {"autodeflate": True, "stats": {"period": 10}},
            },
        },
    )
    plain = replace(
        shapes(folder)["seed"],
        nic=Nic(MAC, forwards=(PortForward(free_port(), 22),)),
        credentials={"a": folder / "a"},
    )
    for machine_ in (desktop, plain):
        file = folder / "domain.xml"
        file.write_text(domain_xml(machine_, HOST))
        session.virsh("create", file)
        try:
            assert session.virsh("domstate", machine_.domain).stdout.strip() == "running"
            if machine_ is plain:
                _until(lambda: b"No bootable device" in (folder / "serial.log").read_bytes())
        finally:
            session.virsh("destroy", machine_.domain)


def _until(done: Callable[[], bool], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.1)
