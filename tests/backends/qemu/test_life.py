"""Real QEMU processes: started, asked, stopped, killed, mistaken for others."""

from __future__ import annotations

import os
import pty
import signal
import socket
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ovtasks.backends.contract import Handle, VmState
from ovtasks.backends.qemu.process import PID_FILE
from ovtasks.backends.qemu.qmp import NoQmpError, SilentError, connect
from ovtasks.errors import OvError, RefusedError
from ovtasks.machine.qemu.names import QMP_SOCKET, STATUS_SOCKET
from tests.backends.qemu.conftest import HELLO, Vm, make_vm
from tests.support.demo import ROOT
from tests.support.pace import until
from tests.support.processes import left, serve

TPM = {"devices": {"tpm": [{"model": "tpm-crb", "backend": {"type": "emulator", "version": "2.0"}}]}}
START = """
import sys
from pathlib import Path
from ovtasks.backends.qemu import Qemu
from ovtasks.backends.contract import Handle
from ovtasks.instance.saved_machine import load_machine
machine = load_machine(Path(sys.argv[1]))
Qemu().start(Handle(machine.domain, machine.uuid, machine.disk.parent, machine.sockets), machine)
"""


def start_elsewhere(vm: Vm) -> list[str]:
    """The command of another process that starts the VM."""
    from ovtasks.instance.saved_machine import save_machine

    path = vm.handle.directory / "machine.json"
    save_machine(path, vm.machine)
    return [sys.executable, "-c", START, str(path)]


def test_from_start_to_end(vm: Vm) -> None:
    assert vm.status().state is VmState.UNDEFINED
    assert vm.backend.defined(vm.handle) is None
    vm.backend.define(vm.handle, vm.machine)
    assert vm.backend.defined(vm.handle) == vm.backend.render(vm.machine)
    assert vm.status().state is VmState.STOPPED and not vm.status().active
    pid = vm.start()
    found = vm.status()
    assert (found.state, found.memory, found.note) == (VmState.RUNNING, 32 << 20, None)
    assert found.uptime is not None and 0 < found.uptime < 600
    assert vm.start() == pid, "started twice"
    assert os.getsid(pid) == pid, "in our session: it would end with our terminal"
    vm.backend.shutdown(vm.handle)  # nobody listens in this guest
    vm.backend.power_off(vm.handle)
    vm.backend.power_off(vm.handle)
    assert vm.status().state is VmState.STOPPED and vm.status().note is None
    assert list(vm.handle.sockets.iterdir()) == []
    with pytest.raises(OvError, match="ov-web is not running"):
        vm.backend.shutdown(vm.handle)
    vm.backend.undefine(vm.handle)
    assert vm.status().state is VmState.UNDEFINED


def test_start_renders_anew(vm: Vm) -> None:
    vm.backend.define(vm.handle, vm.machine)
    vm.start(ram=48 << 20)
    assert vm.status().memory == 48 << 20
    assert vm.backend.defined(vm.handle) == vm.backend.render(vm.machine)


def test_paused(vm: Vm) -> None:
    pid = vm.start()
    with connect(vm.handle.sockets / QMP_SOCKET, pid) as qmp:
        qmp.execute("stop")
    assert vm.status().state is VmState.PAUSED and vm.status().active


def test_guest_switches_itself_off(vm: Vm) -> None:
    vm.start()
    until("booted", lambda: HELLO in vm.machine.serial_log.read_bytes())
    with vm.backend.console(vm.handle) as console:
        console.settimeout(60)
        console.sendall(b"q")
        while console.recv(4096):
            pass
    until("off", lambda: vm.status().state is VmState.STOPPED)
    assert vm.status().note is None
    vm.start()


def test_console(vm: Vm) -> None:
    vm.start()
    log = vm.machine.serial_log
    until("the log has what was said before", lambda: HELLO in log.read_bytes())
    assert log.stat().st_mode & 0o077 == 0
    with vm.backend.console(vm.handle) as console:
        console.settimeout(60)
        console.sendall(b"x")
        assert console.recv(1) == b"x"
        with pytest.raises(OvError, match="another console of ov-web is connected"):
            vm.backend.console(vm.handle)
    until("free again", lambda: _console_opens(vm))
    assert vm.backend.addresses(vm.handle) == ()
    with vm.backend.console(vm.handle) as console:
        vm.backend.power_off(vm.handle)
        console.settimeout(60)
        assert console.recv(1) == b""
    assert log.read_bytes().endswith(b"x")
    with pytest.raises(OvError, match="is not running"):
        vm.backend.console(vm.handle)


def _console_opens(vm: Vm) -> bool:
    try:
        vm.backend.console(vm.handle).close()
    except OvError:
        return False
    time.sleep(0.1)
    return True


def test_killed(vm: Vm) -> None:
    pid = vm.start()
    os.kill(pid, signal.SIGKILL)
    until("seen as stopped", lambda: vm.status().state is VmState.STOPPED)
    assert "was killed" in (vm.status().note or "")
    assert (vm.handle.directory / PID_FILE).exists() and (vm.handle.sockets / QMP_SOCKET).exists()
    assert vm.start() != pid


def test_a_stranger_with_the_number_is_left_alone(vm: Vm) -> None:
    """As after a reboot of the host: the file is there, and somebody else has the number."""
    vm.backend.define(vm.handle, vm.machine)
    stranger = serve("sleep", "600")
    try:
        (vm.handle.directory / PID_FILE).write_text(f"{stranger.pid}\n", encoding="ascii")
        assert vm.status().state is VmState.STOPPED
        vm.backend.power_off(vm.handle)
        (vm.handle.directory / PID_FILE).write_text(f"{stranger.pid}\n", encoding="ascii")
        pid = vm.start()
        assert pid != stranger.pid
        (vm.handle.directory / PID_FILE).write_text(f"{stranger.pid}\n", encoding="ascii")
        assert vm.status().state is VmState.STOPPED
        (vm.handle.directory / PID_FILE).write_text(f"{pid}\n", encoding="ascii")
        assert vm.status().state is VmState.RUNNING and stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("content", ["", "x", "0", "-1", "999999999", "1"])
def test_damaged_pid_file(content: str, vm: Vm) -> None:
    vm.backend.define(vm.handle, vm.machine)
    (vm.handle.directory / PID_FILE).write_text(content, encoding="ascii")
    assert vm.status().state is VmState.STOPPED
    vm.backend.power_off(vm.handle)


def test_somebody_else_listens(vm: Vm, tmp_path: Path) -> None:
    pid = vm.start()
    with socket.socket(socket.AF_UNIX) as fake:
        fake.bind(str(tmp_path / "fake.sock"))
        fake.listen()
        with pytest.raises(NoQmpError, match=f"not QEMU's {pid}"), connect(tmp_path / "fake.sock", pid):
            pass


def test_a_held_control_socket(vm: Vm) -> None:
    """Somebody's own client is connected: looking works, and the plug can be pulled all the same."""
    pid = vm.start()
    with connect(vm.handle.sockets / QMP_SOCKET, pid, 600) as held:
        held.execute("query-status")
        with pytest.raises(SilentError) as caught, connect(vm.handle.sockets / QMP_SOCKET, pid, 0.3) as second:
            second.execute("query-status")
        assert "one at a time" in (caught.value.hint or "")
        assert vm.status().state is VmState.RUNNING and vm.status().note is None
        vm.backend.power_off(vm.handle)
        assert vm.status().state is VmState.STOPPED


@pytest.mark.slow
def test_a_qemu_that_hangs(vm: Vm) -> None:
    pid = vm.start()
    os.kill(pid, signal.SIGSTOP)
    found = vm.status()
    assert found.active and "does not answer" in (found.note or "")
    vm.backend.power_off(vm.handle)
    assert vm.status().state is VmState.STOPPED


def test_two_starts_at_once(vm: Vm) -> None:
    others = [serve(*start_elsewhere(vm), cwd=ROOT) for _ in range(2)]
    threads = [threading.Thread(target=vm.backend.start, args=(vm.handle, vm.machine)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [other.wait() for other in others] == [0, 0]
    assert len([line for line in left(vm.handle.directory) if "qemu-system" in line]) == 1
    assert vm.status().state is VmState.RUNNING


def test_one_disk_in_two_machines(vm: Vm, tmp_path: Path) -> None:
    vm.start()
    other = make_vm(tmp_path / "other", "ov-other")
    with pytest.raises(RefusedError, match="a disk of ov-other is in use by another process"):
        other.start(disk=vm.machine.disk)
    assert other.status().state is VmState.STOPPED
    other.handle.sockets.rmdir()  # it is empty
    assert vm.status().state is VmState.RUNNING


def test_survives_the_terminal(vm: Vm) -> None:
    """Started from a terminal that closes, by a process that ends; it holds none of our files open."""
    command = start_elsewhere(vm)
    keep, give = os.pipe()
    os.set_inheritable(give, True)
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(ROOT)
        os.execv(command[0], command)
    os.close(give)
    said = b""
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        try:
            said += os.read(terminal, 4096)
        except OSError:
            continue
    os.close(terminal)
    found = vm.status()
    assert found.state is VmState.RUNNING, said
    assert os.read(keep, 1) == b"", "QEMU holds a file of its starter open"
    os.close(keep)
    links = [str(link.readlink()) for link in Path(f"/proc/{found.pid}/fd").iterdir() if link.is_symlink()]
    assert not any("/dev/pts" in link or "/dev/tty" in link for link in links)


def test_fifty_are_asked_quickly(vm: Vm, tmp_path: Path) -> None:
    vm.start()
    handles = [vm.handle]
    for number in range(49):
        folder = tmp_path / f"stopped{number}"
        folder.mkdir()
        (folder / "argv.json").write_text("[]", encoding="utf-8")
        (folder / PID_FILE).write_text("1", encoding="ascii")
        handles.append(Handle(f"ov-{number}", "", folder, folder / "run"))
    times = []
    for _ in range(5):
        begin = time.perf_counter()
        found = vm.backend.states(handles)
        times.append(time.perf_counter() - begin)
    assert len(found) == 50 and found["ov-web"].state is VmState.RUNNING
    assert min(times) < 0.1


def test_tpm_lives_with_its_machine(tmp_path: Path) -> None:
    vm = make_vm(tmp_path / "tpm")
    try:
        pid = vm.start(libvirt=TPM)
        assert len([line for line in left(tmp_path) if "swtpm socket" in line]) == 1
        os.kill(pid, signal.SIGKILL)
        until("swtpm ends with QEMU", lambda: left(tmp_path) == [])
        vm.start()
        vm.backend.power_off(vm.handle)
        assert left(tmp_path) == []
        assert (vm.handle.directory / "tpm").is_dir()
        with pytest.raises(OvError):
            vm.start(machine="no-such-machine")
        assert left(tmp_path) == []
    finally:
        vm.backend.power_off(vm.handle)
        vm.handle.sockets.rmdir()


def test_tpm_cannot_take_a_comma(vm: Vm) -> None:
    with pytest.raises(OvError, match="has a comma in it"):
        vm.start(libvirt=TPM)


def test_sockets_that_cannot_be_reached(vm: Vm) -> None:
    """Someone removed them: it runs, and can be ended."""
    vm.start()
    for name in (QMP_SOCKET, STATUS_SOCKET):
        (vm.handle.sockets / name).unlink()
    assert vm.status().active
    vm.backend.power_off(vm.handle)
    assert vm.status().state is VmState.STOPPED


def test_changed_names_of_the_same_folder(vm: Vm, tmp_path: Path) -> None:
    """$XDG_DATA_HOME may lead through a symbolic link today."""
    pid = vm.start()
    (tmp_path / "link").symlink_to(vm.handle.directory)
    handle = replace(vm.handle, directory=tmp_path / "link")
    assert vm.backend.states([handle])[handle.domain].pid == pid
