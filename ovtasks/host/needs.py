"""What the goals of a ``doitw`` command line need of this host.

``python -m ovtasks.host.needs [--manager M] -- WORD…`` is run by ``doitw``; ``M`` is the package manager. It is only a
convenience before the build: files are read leniently (the build reports what is wrong with them), and a step whose
program is missing says so itself. The answer is lines for a shell to read:

``missing PACKAGE PROGRAM``, ``unknown PROGRAM`` (no package brings it here), ``found PATH``, and ``read PATH`` for the
files that decided the answer.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from glob import escape, glob
from pathlib import Path
from typing import Any

from ovtasks.host import packages
from ovtasks.host.run import which
from ovtasks.values.arch import arch_of

SPEC_FILES = ("overthink.yml", "vms.yml", "vm.yml")
FAMILY_BY_MANAGER = {"apt-get": "debian", "dnf": "fedora", "pacman": "arch", "zypper": "suse"}

# doit's commands that run no steps.
QUIET_COMMANDS = frozenset(
    {"clean", "dumpdb", "forget", "help", "ignore", "info", "list", "reset-dep", "tabcompletion"}
)

DISK = ("qemu-img",)
BOOTSTRAP = (*DISK, "mmdebstrap", "dpkg-deb", "mke2fs", "debugfs", "mkfs.fat", "mcopy", "sfdisk", "unshare")
BENCH = ("qemu-img", "curl", "make", "ninja")
TEST = (
    *(*BOOTSTRAP, *BENCH, "debian-keyring", "gpg"),
    *("Python.h", "cc", "libvirt.h", "pkg-config"),  # to compile libvirt's Python binding
    *("podman", "runc", "nsenter", "losetup", "debugfs", "registry", "sudo", "newuidmap"),  # for bootc's tests
    *("libvirtd", "libvirt-qemu", "virsh", "virt-xml-validate"),
    *("qemu-io", "qemu-spice", "qemu-system-x86_64", "swtpm", "swtpm_setup", "virtiofsd", "OVMF"),
    *("ssh", "ssh-keygen", "ssh-keyscan", "sshd", "dnsmasq", "ip"),
    *("bash", "dash", "dot", "git", "rsync", "shellcheck", "tmux", "xmllint", "cloud-init"),
    *("gpg-agent", "gpgv", "xz", "zstd"),
    *("blkid", "e2fsck", "isoinfo", "mdir", "mkfs.btrfs", "mount", "setpriv", "useradd"),
    *("systemd-notify", "systemd-tmpfiles"),
)
GOALS = {"test": TEST, "bench": BENCH}
BOOTC = (*DISK, "podman", "losetup")
CHAIN = frozenset(
    {"base", "build", "convert", "disk", "fetch", "install", "key", "seed", "verify", "define", "create", "start"}
)
MACHINES = frozenset({"define", "create", "start"})

# Things that are not programs, and where distributions put them.
FILES = {
    "OVMF": (
        "/usr/share/OVMF/OVMF_CODE_4M.fd",
        "/usr/share/edk2/ovmf/OVMF_CODE.fd",
        "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
        "/usr/share/qemu/ovmf-x86_64-code.bin",
    ),
    "AAVMF": (
        "/usr/share/AAVMF/AAVMF_CODE.fd",
        "/usr/share/edk2/aarch64/QEMU_EFI.fd",
        "/usr/share/qemu/aavmf-aarch64-code.bin",
    ),
    "RISCV_VIRT": ("/usr/share/qemu-efi-riscv64/RISCV_VIRT_CODE.fd", "/usr/share/edk2/riscv/RISCV_VIRT_CODE.fd"),
    "libvirt-qemu": (
        "/usr/lib/x86_64-linux-gnu/libvirt/connection-driver/libvirt_driver_qemu.so",
        "/usr/lib/aarch64-linux-gnu/libvirt/connection-driver/libvirt_driver_qemu.so",
        "/usr/lib64/libvirt/connection-driver/libvirt_driver_qemu.so",
        "/usr/lib/libvirt/connection-driver/libvirt_driver_qemu.so",
    ),
    "qemu-spice": (
        "/usr/lib/x86_64-linux-gnu/qemu/ui-spice-core.so",
        "/usr/lib/aarch64-linux-gnu/qemu/ui-spice-core.so",
        "/usr/lib64/qemu/ui-spice-core.so",
        "/usr/lib/qemu/ui-spice-core.so",
    ),
    "virtiofsd": ("/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd", "/usr/lib/virtiofsd"),
    "debian-keyring": ("/usr/share/keyrings/debian-archive-keyring.gpg",),
    "ubuntu-keyring": ("/usr/share/keyrings/ubuntu-archive-keyring.gpg",),
    "registry": ("/usr/bin/docker-registry", "/usr/bin/registry"),
    "libvirt.h": ("/usr/include/libvirt/libvirt.h",),
    "Python.h": (f"{sysconfig.get_path('include')}/Python.h",),
}


def needed(words: Sequence[str], root: Path) -> tuple[str, ...]:
    """The programs that doit's arguments ``words`` need in the project ``root``, sorted."""
    programs: set[str] = set()
    patterns: list[str] = []
    running: list[str] = []
    for goal in _goals(words):
        base, colon, rest = goal.partition(":")
        if goal in GOALS:
            programs.update(GOALS[goal])
        elif base == "image":  # one that image.yml declares, or a VM's
            programs.add("podman")
        elif colon or base in CHAIN:
            pattern = rest.split(":")[0] if colon else "*"
            patterns.append(pattern)
            running += [pattern] if base in MACHINES else []
        elif "output/" in goal:  # a target's path
            patterns.append(goal.rpartition("output/")[2].split("/")[0])
    if patterns:
        for name, vm in _vms(root):
            if any(fnmatchcase(name, pattern) for pattern in patterns):
                programs.update(_source_needs(vm["source"]))
            if any(fnmatchcase(name, pattern) for pattern in running):
                programs.update(_machine_needs(vm))
    return tuple(sorted(programs))


def _goals(words: Sequence[str]) -> list[str]:
    if (words and words[0] in QUIET_COMMANDS) or any(word in {"--help", "--version"} for word in words):
        return []
    plain = [word for word in words if not word.startswith("-") or word == "--"]
    goals = plain[: plain.index("--")] if "--" in plain else plain
    goals = [word for word in goals if word not in {"run", "auto"} and "=" not in word and not word.isdigit()]
    return goals or ["build"]


def _machine_needs(vm: dict[str, Any]) -> tuple[str, ...]:
    """The programs that run the VM with QEMU alone. An installed libvirt brings its own."""
    arch = arch_of(os.uname().machine)
    uefi = (arch.firmware,) if str(vm.get("firmware", "bios")) != "bios" and arch.firmware else ()
    return (f"qemu-system-{arch.qemu}", "ssh", "ssh-keyscan", *uefi)


def _source_needs(source: dict[str, Any]) -> tuple[str, ...]:
    if source.get("kind") == "bootstrap":
        more = [] if os.geteuid() == 0 else ["newuidmap"]
        more += ["mkfs.btrfs"] if source.get("rootfs") == "btrfs" else []
        distro = str(source.get("distro", "debian"))
        if f"{distro}-keyring" in FILES and packages.os_release().get("ID") != distro:
            more += [f"{distro}-keyring", "gpg"]  # apt knows the keys of the host's own distribution only
        return (*BOOTSTRAP, *more)
    if source.get("kind") == "bootc":
        return (*BOOTC, *([] if os.geteuid() == 0 else ["newuidmap"]))
    programs = list(DISK)
    checksum = source.get("checksum")
    if isinstance(checksum, dict) and "keyring" in checksum:
        programs.append("gpgv")
    return tuple(programs)


def spec_files(root: Path) -> tuple[Path, ...]:
    """The files that may declare VMs, and those that they include. They need not exist."""
    files = [root / name for name in SPEC_FILES]
    for path in files:  # grows meanwhile
        for document in _documents(path):
            includes = document.get("includes")
            for item in [includes] if isinstance(includes, str) else includes if isinstance(includes, list) else []:
                pattern = str(Path(escape(str(path.parent))) / str(item))
                names = sorted(glob(pattern)) or [str(path.parent / str(item))]  # noqa: PTH207 - may be absolute
                files += [file for name in names if (file := Path(os.path.normpath(name))) not in files]
    return tuple(files)


def _vms(root: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every VM's name and its mapping, which has a ``source:`` mapping."""
    for path in spec_files(root):
        for document in _documents(path):
            for key in ("vms", "vm"):
                vms = document.get(key)
                if not isinstance(vms, dict):
                    continue
                one = {vms["name"]: vms} if "source" in vms and "name" in vms else vms
                for name, vm in one.items():
                    if isinstance(vm, dict) and isinstance(vm.get("source"), dict):
                        yield str(name), vm


def _documents(path: Path) -> list[dict[str, object]]:
    """The mappings of a YAML stream; none for a file that is missing or wrong."""
    if not path.is_file():
        return []
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        documents = list(yaml.load_all(path.read_bytes(), Loader=loader))
    except (yaml.YAMLError, OSError, ValueError, RecursionError):
        return []
    return [document for document in documents if isinstance(document, dict)]


def find(program: str) -> Path | None:
    """Where the program is, or the file that stands for it (see ``FILES``); None if it is missing."""
    if program in FILES:
        return next((Path(name) for name in FILES[program] if Path(name).exists()), None)
    return which(program)


def answer(words: Sequence[str], root: Path, family: str | None) -> Iterator[str]:
    """The lines that the head of this module describes."""
    for program in needed(words, root):
        if (path := find(program)) is not None:
            yield f"found {path}"
        elif family is not None and (package := packages.package_of(program, family)) is not None:
            yield f"missing {package} {program}"
        else:
            yield f"unknown {program}"
    for path in spec_files(root):
        yield f"read {path}"


def main(argv: Sequence[str]) -> int:
    """Print the answer for the words of a ``doitw`` command line; returns the exit status."""
    words = list(argv)
    family = packages.family()
    if words and words[0] == "--manager":
        family = FAMILY_BY_MANAGER.get(words[1], family)
        del words[:2]
    if words and words[0] == "--":
        del words[0]
    for line in answer(words, Path.cwd(), family):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
