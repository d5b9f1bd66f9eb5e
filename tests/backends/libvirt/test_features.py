"""Domain capabilities of libvirts that are not here, and QEMU's words made errors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ovtasks.backends.libvirt import addresses, diagnosis, features, power, session
from ovtasks.backends.libvirt.diagnosis import diagnose
from ovtasks.errors import OvError
from ovtasks.host.run import Result
from ovtasks.machine.host import HostFeatures
from ovtasks.machine.xml.merge import own_snippets
from tests.support.machines import machine

OLD = """<domainCapabilities><os supported='yes'><enum name='firmware'><value>efi</value></enum>
<loader supported='yes'><enum name='secure'><value>no</value></enum></loader></os>
<devices><graphics supported='yes'><enum name='type'><value>vnc</value></enum></graphics>
<video supported='yes'><enum name='modelType'><value>vga</value><value>virtio</value></enum></video>
<tpm supported='yes'><enum name='backendModel'><value>passthrough</value></enum></tpm></devices></domainCapabilities>"""
NEW = """<domainCapabilities><os supported='yes'><enum name='firmware'><value>efi</value></enum>
<firmwareFeatures supported='yes'><enum name='secureBoot'><value>yes</value></enum>
<enum name='enrolledKeys'><value>yes</value><value>no</value></enum></firmwareFeatures>
<loader supported='yes'><enum name='secure'><value>yes</value><value>no</value></enum></loader></os>
<devices><interface supported='yes'><enum name='backendType'><value>default</value><value>passt</value></enum>
</interface><tpm supported='yes'><enum name='backendModel'><value>emulator</value></enum></tpm></devices>
</domainCapabilities>"""


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    features.passt_works.cache_clear()
    yield
    features.passt_works.cache_clear()


def test_before_firmware_features() -> None:
    found = features.parse(OLD)
    known = found.host.known
    assert known["devices/graphics/type"] == frozenset({"vnc"})
    assert known["devices/video/modelType"] == frozenset({"vga", "virtio"})
    assert known["devices/tpm/backendModel"] == frozenset({"passthrough"})
    assert "features/sev/supported" not in known
    assert found == features.Domcaps(HostFeatures(known=known), insecure=True)


def test_with_firmware_features() -> None:
    found = features.parse(NEW)
    assert "emulator" in found.host.known["devices/tpm/backendModel"]
    assert (found.host.passt, found.insecure, found.secure) == (True, False, True)


def test_nothing() -> None:
    assert features.parse("<domainCapabilities/>") == features.Domcaps(HostFeatures())


DEVICES = """<domainCapabilities><cpu><mode name='host-model'><vendor>AMD</vendor></mode></cpu>
<memoryBacking><enum name='sourceType'><value>memfd</value></enum></memoryBacking>
<devices><hostdev><enum name='subsysType'><value>usb</value><value>pci</value></enum><enum name='pciBackend'/></hostdev>
<rng><enum name='backendModel'><value>random</value></enum></rng></devices>
<features><sev supported='yes'/></features></domainCapabilities>"""


def test_devices() -> None:
    host = features.parse(DEVICES).host
    memory, sev = host.known["memoryBacking/sourceType"], host.known["features/sev/supported"]
    assert (host.vendor, memory, sev) == ("AMD", frozenset({"memfd"}), frozenset({"yes"}))
    assert host.known["devices/hostdev/subsysType"] == frozenset({"usb", "mdev"})  # the host passes no PCI on
    assert host.known["devices/rng/backendModel"] == frozenset({"random"}) and "devices/rng/model" not in host.known
    passes = DEVICES.replace("<enum name='pciBackend'/>", "<enum name='pciBackend'><value>vfio</value></enum>")
    assert "pci" in features.parse(passes).host.known["devices/hostdev/subsysType"]


def test_virtiofs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(features, "VHOST_USER", (str(tmp_path),))
    monkeypatch.setattr(features, "which", lambda program: None)
    assert "from 10.0 on" in (features.virtiofs_problem("qemu:///session", (9, 0)) or "")
    assert "not installed" in (features.virtiofs_problem("qemu:///system", (9, 0)) or "")
    assert features.virtiofs_problem("qemu+ssh://host/system", (9, 0)) is None
    (tmp_path / "50-virtiofsd.json").touch()
    assert features.virtiofs_problem("qemu:///session", (10, 0)) is None


@pytest.mark.parametrize(
    ("said", "works"),
    [
        ("passt 0.0~git20230309.7c7625d-1\n", False),
        ("passt 0^20240220.g1e6f92b-1.fc39.x86_64\n", True),
        ("passt 2025_05_03.587980c\n", True),
        ("passt of the future\n", True),
    ],
)
def test_old_passt_is_not_used(monkeypatch: pytest.MonkeyPatch, said: str, works: bool) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr(features, "which", lambda program: program)
    monkeypatch.setattr(features, "run", lambda *_args, **_more: Result(0, said, ""))
    assert features.passt_works() is works


def test_passt_refuses_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert not features.passt_works()


class Said(Exception):
    """Stands for a ``libvirtError``: only its text is read."""


@pytest.mark.parametrize(
    ("said", "fact"),
    [
        (
            "internal error: Failed to bind any port for '-t 127.0.0.1/2224:22', exiting",
            "port 127.0.0.1/2224:22 of this",
        ),
        ("internal error: Could not start 'passt': No such file", "passt, which forwards"),
        ("operation failed: Unable to find any firmware to satisfy 'efi'", "finds no such UEFI firmware"),
        ("Unable to find 'swtpm_setup' binary in $PATH", "needs swtpm_setup"),
        ("Failed to connect socket to '/run/user/1/libvirt/virtlogd-sock': No such file", "virtlogd cannot be used"),
        ("internal error: hugetlbfs filesystem is not mounted or disabled", "no huge pages to give"),
        ("cannot limit locked memory of process 9 to 1: Operation not permitted", "may not be locked"),
        ("cannot open directory '/dev/dri': No such file or directory", "no graphics processor"),
        ("unsupported configuration: unable to open vhost-vsock device", "no vsock for VMs"),
        ("Could not access KVM kernel module: Permission denied", "KVM cannot be used"),
        ("End of file while reading data: Input/output error", "the libvirt daemon went away"),
        ("unsupported configuration: spice graphics are not supported with this QEMU", "start x: spice graphics"),
    ],
)
def test_words_become_facts(said: str, fact: str) -> None:
    error = diagnose(Said(said), "start x", "x")
    assert fact in error.message


CLOSED = "internal error: QEMU unexpectedly closed the monitor (vm='ov-x'): "
LOGGED = """2025-05-03 07:00:00.000+0000: starting up libvirt version: 11.3.0, qemu version: 10.0.0, hostname: host
LC_ALL=C \\
XDG_CACHE_HOME=/home/me/.cache \\
/usr/bin/qemu-system-x86_64 \\
-cpu host-passthrough,migratable=on \\
-chardev socket,id=chrtpm,path=/run/user/1/libvirt/qemu/run/swtpm/1-ov-x-swtpm.sock \\
-netdev '{"type":"stream","addr":{"type":"unix","path":"/run/user/1/libvirt/qemu/run/passt/1-ov-x-net0.socket"}}' \\
-msg timestamp=on
2025-05-03T07:00:01.000000Z qemu-system-x86_64: warning: This family of AMD CPU doesn't support hyperthreading
"""
SHM = (
    "2025-05-03T07:00:01.000001Z qemu-system-x86_64: can't open backing store /dev/shm for guest RAM: Permission denied"
)
NETDEV = '-netdev {"type":"stream","addr":{"type":"unix","path":"/run/user/1/libvirt/qemu/run/passt/1-x-net0.socket"}}'


@pytest.mark.parametrize(
    ("said", "fact", "line"),
    [
        (CLOSED + SHM, "QEMU may not put the guest's memory into /dev/shm", "can't open backing store /dev/shm"),
        (CLOSED + LOGGED + SHM, "QEMU may not put the guest's memory into /dev/shm", "can't open backing store"),
        (
            CLOSED + LOGGED + "2025-05-03T07:00:01Z qemu-system-x86_64: some news",
            "qemu-system-x86_64: some news",
            "news",
        ),
        (CLOSED + f"2025-05-03T07:00:01Z qemu-system-x86_64: {NETDEV}: Connection refused", "passt, which", "refused"),
        ("internal error: Could not start 'passt'. exitstatus: 1", "passt, which forwards", "exitstatus: 1"),
        ("unsupported configuration: CPU mode 'host-passthrough' is only supported with kvm", "CPU mode", "CPU mode"),
        ("internal error: TPM passthrough is not to be had", "cannot start x: TPM passthrough", "not to be had"),
    ],
)
def test_the_line_that_complains_is_diagnosed(said: str, fact: str, line: str) -> None:
    """The end of QEMU's log holds its command line, too: with passt, swtpm and others in it."""
    message = diagnose(Said(said), "start x", "x").message
    assert fact in message and line in message
    assert fact.startswith("passt") == ("which forwards the ports" in message)
    assert "starting up" not in message and "hyperthreading" not in message and "swtpm" not in message


SPICE = """2026-11-27T19:11:03.225989Z qemu-system-x86_64: warning: Spice: ../server/reds.cpp:2585:reds_init_socket: \
binding socket to 127.0.0.1:5901 failed
2026-11-27T19:11:03.226190Z qemu-system-x86_64: warning: Spice: ../server/reds.cpp:3442: Failed to open SPICE sockets
2026-11-27T19:11:03.226203Z qemu-system-x86_64: failed to initialize spice server"""
VNC = "2026-11-27T19:11:03Z qemu-system-x86_64: -vnc 127.0.0.1:1,audiodev=audio1: Failed to find an available port: \
Address already in use"


@pytest.mark.parametrize(("said", "place"), [(SPICE, "127.0.0.1:5901"), (VNC, "127.0.0.1:1")], ids=["spice", "vnc"])
def test_a_place_of_the_display_that_is_taken(said: str, place: str) -> None:
    error = diagnose(Said(CLOSED + LOGGED + said), "start x", "x")
    assert error.message.startswith(f"cannot start x: the place {place} of the display is taken")
    assert "libvirt.devices.graphics" in str(error.hint)


class Collides:
    """A domain whose display finds its port taken, as often as said."""

    def __init__(self, said: str, times: int) -> None:
        self.said, self.times, self.tries = said, times, 0

    def create(self) -> None:
        self.tries += 1
        if self.tries <= self.times:
            raise session.load().libvirtError(self.said)

    def isActive(self) -> bool:
        return False


@pytest.mark.parametrize(
    "said",
    [SPICE, VNC, "failed to connect to monitor socket: No such process", "domain is no longer running"],
    ids=["spice", "vnc", "monitor", "gone"],
)
def test_a_port_that_was_taken_meanwhile_is_chosen_again(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(power, "_PAUSES", (0.0, 0.0))
    domain = Collides(said, 2)
    power._create(domain)
    assert domain.tries == 3
    domain = Collides(said, 9)
    with pytest.raises(session.load().libvirtError):
        power._create(domain)
    assert domain.tries == 3


def test_another_reason_is_said_at_once() -> None:
    domain = Collides("Cannot allocate memory", 1)
    with pytest.raises(session.load().libvirtError):
        power._create(domain)
    assert domain.tries == 1


def test_a_log_that_says_why_is_the_next_step() -> None:
    said = "internal error: Could not run 'swtpm_setup'. exitstatus: 1; Check error log '/x/x.log' for details."
    error = diagnose(Said(said), "start x", "x")
    assert "swtpm_setup cannot make the emulated TPM" in error.message and error.hint == "/x/x.log says why"


def test_addresses_of_the_guest_only() -> None:
    """As libvirt's interfaceAddresses gives them; the bridge inside of the guest comes last."""
    said = {
        "lo": {"hwaddr": "00:00:00:00:00:00", "addrs": [{"addr": "127.0.0.1"}, {"addr": "::1"}]},
        "docker0": {"hwaddr": "02:42:00:00:00:01", "addrs": [{"addr": "172.17.0.1"}]},
        "eth0": {
            "hwaddr": "52:54:00:12:34:56",
            "addrs": [{"addr": a} for a in ("fe80::1%eth0", "fd00::5", "10.0.0.7")],
        },
        "eth1": {"hwaddr": "52:54:00:12:34:57", "addrs": None},
        "tun0": {"addrs": [{"addr": "169.254.1.1"}]},
    }
    assert addresses.best(said, ["52:54:00:12:34:56"]) == ("10.0.0.7", "fd00::5", "172.17.0.1")
    assert addresses.best({}, []) == ()


def test_the_texts_to_look_at_where_none_can_be_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "which", lambda program: None)
    with_texts = machine(snippets=own_snippets({"snippets": ["<rng/>"], "xml_passthrough": "<os/>"}))
    invalid = OvError("cannot define x: XML document failed to validate against schema: …")
    found = diagnosis.diagnose_snippets(invalid, with_texts, lambda one: "")
    assert found is invalid and "look at libvirt.snippets[0], libvirt.xml_passthrough" in str(found.hint)
    for error, of in ((OvError("another"), with_texts), (OvError("against schema"), machine())):
        assert diagnosis.diagnose_snippets(error, of, lambda one: "") is error and error.hint is None


def test_which_connections_are_whose() -> None:
    assert session.is_own_session("qemu:///session") and session.is_local("qemu:///system")
    assert not session.is_own_session("qemu:///system")
    assert not session.is_own_session("qemu:///session?socket=/x")
    assert not session.is_local("qemu+ssh://me@host/session")


def test_the_connection_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OV_LIBVIRT_URI", raising=False)
    assert session.uri_of() == "qemu:///session"
    monkeypatch.setenv("OV_LIBVIRT_URI", "qemu:///system")
    assert session.uri_of() == "qemu:///system"
    assert session.uri_of("qemu+ssh://host/session") == "qemu+ssh://host/session"
