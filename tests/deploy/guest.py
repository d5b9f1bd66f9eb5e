"""A guest without a VM: a root of its own behind a real sshd, a record that points to it, and a backend that says that
it runs. What layers do there stays below the test's folder."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from ovtasks import registry
from ovtasks.backends.contract import Capabilities, Handle, VmState, VmStatus
from ovtasks.cli.main import run
from ovtasks.deploy.stamp import RACY_NS
from ovtasks.errors import OvError
from ovtasks.host.run import run as run_program
from ovtasks.instance.access import write_access
from ovtasks.instance.record import HostKey, Record, new_record
from ovtasks.instance.saved_machine import save_machine
from ovtasks.machine.machine import Machine
from tests.support.machines import machine
from tests.support.output import checked
from tests.support.sshd import Sshd, new_sshd

KIND = "standin"
SPEC = "source: {kind: cloud_image, url: https://example.org/debian.qcow2, base_user: debian}"
_ENTER = """
mount --rbind /usr "$1/usr" && mount -o remount,ro,bind "$1/usr"
mount --bind "$1/local" "$1/usr/local"
mount -t proc proc "$1/proc" 2>/dev/null || mount --rbind /proc "$1/proc"
mount --rbind /dev "$1/dev"
root=$1
shift
exec chroot "$root" env -i PATH=/opt/bin:/usr/sbin:/usr/bin HOME=/root USER=root "$@"
"""
OS_RELEASE = 'ID=debian\nVERSION_ID="13"\nVERSION_CODENAME=trixie\n'


class StandIn:
    """The backend. A VM runs while its folder has the file ``running``."""

    kind = KIND

    def probe(self, uri: str | None = None, *, start: bool = False) -> str:
        return "a stand-in"

    def place(self, uri: str | None = None) -> str | None:
        return None

    def capabilities(self, arch: str, machine: str, uri: str | None = None) -> Capabilities:
        raise OvError("a stand-in makes no machines")

    def render(self, machine: Machine, uri: str | None = None) -> str:
        return "a machine"

    def notes(self, machine: Machine) -> tuple[str, ...]:
        return ()

    def defined(self, handle: Handle) -> str | None:
        return "a machine"

    def undefine(self, handle: Handle) -> None:
        pass

    def start(self, handle: Handle, machine: Machine) -> None:
        kept = handle.directory / "roots" / _below(handle.directory / "disk.qcow2")
        if kept.exists():
            shutil.rmtree(_root(handle))
            shutil.copytree(kept, _root(handle), symlinks=True)
        (handle.directory / "running").touch()

    def shutdown(self, handle: Handle) -> None:
        (handle.directory / "running").unlink(missing_ok=True)

    power_off = shutdown

    def states(self, handles: Iterable[Handle]) -> Mapping[str, VmStatus]:
        return {
            one.domain: VmStatus(VmState.RUNNING if (one.directory / "running").exists() else VmState.STOPPED)
            for one in handles
        }

    def write_to(self, handle: Handle, disk: Path) -> None:
        """What the guest has now is what stands below the new overlay."""
        kept = handle.directory / "roots" / _below(disk)
        shutil.rmtree(kept, ignore_errors=True)  # of a state that is gone
        shutil.copytree(_root(handle), kept, symlinks=True)

    def addresses(self, handle: Handle) -> tuple[str, ...]:
        return ()


def version(path: Path) -> tuple[int, int, int, int]:
    """What differs once a file has been written again; not when it was read last."""
    stat = path.lstat()
    return stat.st_ino, stat.st_mode, stat.st_size, stat.st_mtime_ns


def _root(handle: Handle) -> Path:
    """The guest's root: the instance's folder has a link to it."""
    return (handle.directory / "root").resolve()


def _below(disk: Path) -> str:
    info = json.loads(run_program(["qemu-img", "info", "-U", "--output=json", disk]).stdout)
    return str(info.get("backing-filename", "none"))


@dataclass
class Guest:
    """The project in ``project``, and the guest of its VM ``web``, whose root is ``root``."""

    project: Path
    root: Path
    sshd: Sshd
    record: Record
    capsys: pytest.CaptureFixture[str]
    said: str = ""
    _seen: int = 0

    @property
    def folder(self) -> Path:
        """The instance's."""
        return self.record.folder.path

    def layer(self, name: str, text: str, **files: str) -> None:
        """Write a layer; ``files`` lie beside it."""
        home = self.project / "layers" / name
        home.mkdir(parents=True, exist_ok=True)
        for file, content in {"layer.yml": text, **files}.items():
            (home / file).write_text(content, encoding="utf-8")
            os.utime(home / file, ns=(10**18, 10**18 + hash(content) % 10**9))

    def deploy_yml(self, text: str) -> None:
        (self.project / "deploy.yml").write_text(text, encoding="utf-8")

    def ov(self, *words: str, code: int = 0) -> str:
        """Run ``ov``; returns what it printed on stdout. What it said on stderr is in :attr:`said`."""
        self.settle()
        self.capsys.readouterr()
        status = run(["-C", str(self.project), *words])
        done = self.capsys.readouterr()
        self.said = done.err
        assert status == code, f"{status}: {done.out}{done.err}"
        if "--json" in words and done.out:
            checked(" ".join(["ov", *words[: 1 if words[0] in {"plan", "update"} else 2]]), done.out)
        return done.out

    def settle(self) -> None:
        """Wait until no file of the project is so young that its next version could have the same time."""
        files = [self.project / "vms.yml", self.project / "deploy.yml", *(self.project / "layers").rglob("*")]
        newest = max((path.lstat().st_ctime_ns for path in files if path.exists()), default=0)
        time.sleep(max(0, newest + 2 * RACY_NS - time.time_ns()) / 1e9)

    def connections(self) -> int:
        """How often somebody has logged in since the last call."""
        count = (self.sshd.folder / "sshd.log").read_text(errors="replace").count("Accepted publickey")
        before, self._seen = self._seen, count
        return count - before

    def off(self) -> None:
        (self.folder / "running").unlink()

    def file(self, path: str) -> str | None:
        """A file of the guest; None if there is none."""
        found = self.root / path.lstrip("/")
        return found.read_text() if found.exists() else None

    def version(self, path: str) -> tuple[int, int, int, int]:
        """What differs once the guest's file has been written again."""
        return version(self.root / path.lstrip("/"))

    def anew(self) -> None:
        """The VM was destroyed and made again."""
        shutil.rmtree(self.root)
        make_root(self.root)
        self.record = replace(self.record, instance_id="ov-another")
        self.record.save()


def make_root(root: Path) -> None:
    """A little system: this machine's programs, and folders of its own."""
    for name in (
        "usr",
        "etc",
        "var/lib",
        "var/log",
        "home",
        "root",
        "opt",
        "tmp",
        "proc",
        "dev",
        "run",
        "srv",
        "local",
    ):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        if Path("/", name).is_symlink():
            (root / name).symlink_to(f"usr/{name}")
    (root / "opt" / "bin").mkdir()
    (root / "opt" / "bin" / "cloud-init").write_text('#!/bin/sh\necho \'{"status": "done"}\'\n')
    (root / "opt" / "bin" / "cloud-init").chmod(0o755)
    (root / "etc" / "os-release").write_text(OS_RELEASE)
    (root / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n")
    (root / "etc" / "group").write_text("root:x:0:\nnogroup:x:65534:\n")
    for name in ("ld.so.cache", "nsswitch.conf", "alternatives"):
        path = Path("/etc", name)
        if path.is_dir():
            shutil.copytree(path, root / "etc" / name, symlinks=True)
        elif path.exists():
            shutil.copy2(path, root / "etc" / name)


@contextlib.contextmanager
def new_guest(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Guest]:
    """A running VM ``web`` that nobody has deployed to yet."""
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(folder / name))
    backends = {**registry.BUILT_IN[registry.BACKENDS], KIND: f"{__name__}:{StandIn.__name__}"}
    monkeypatch.setattr(registry, "BUILT_IN", {**registry.BUILT_IN, registry.BACKENDS: backends})
    project, root = folder / "p", folder / "root"
    project.mkdir()
    (project / "vms.yml").write_text(f"vms:\n  web:\n    {SPEC}\n", encoding="utf-8")
    make_root(root)
    with new_sshd(folder / "sshd") as sshd:
        _enter_root(sshd, root)
        sshd.start()
        record = _record(project, sshd)
        (record.folder.path / "root").symlink_to(root)
        yield Guest(project, root, sshd, record, capsys)


def _enter_root(sshd: Sshd, root: Path) -> None:
    unshare = "unshare --mount" if os.geteuid() == 0 else "unshare --map-root-user --mount"
    enter = sshd.folder / "enter"
    words = f'{unshare} sh -euc "$(cat {sshd.folder}/enter.sh)" sh {root} sh -c "$SSH_ORIGINAL_COMMAND"'
    (sshd.folder / "enter.sh").write_text(_ENTER)
    enter.write_text(f"#!/bin/sh\nPATH=$PATH:/usr/sbin\nexec {words}\n")
    enter.chmod(0o755)
    with (sshd.folder / "sshd_config").open("a") as config:
        config.write(f"ForceCommand {enter}\nLogLevel VERBOSE\n")


def _record(project: Path, sshd: Sshd) -> Record:
    made = new_record("web", None, project, KIND, None, None)
    made.folder.make()
    record = replace(
        made,
        instance_id="ov-first",
        built="x",
        ssh_port=sshd.port,
        user=pwd.getpwuid(os.geteuid()).pw_name,
        identity=sshd.folder / "id",
        host_key=HostKey.ACCEPTED,
        accepted=(" ".join(sshd.host_key().split()[:2]),),
    )
    record.save()
    write_access(record)
    save_machine(record.folder.machine, replace(machine(), accel="kvm"))
    record.folder.disk.touch()
    record.folder.built.mkdir()
    (record.folder.built / "disk.qcow2").touch()
    (record.folder.path / "running").touch()
    return record
