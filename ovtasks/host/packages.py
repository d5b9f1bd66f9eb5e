"""Which package brings a program on this distribution."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

# program → package, by family. If a family is left out, the package has the program's name; "" means that no package
# brings it. "debian:bookworm" wins over "debian" in that release, which VERSION_CODENAME of os-release(5) names.
PACKAGES: dict[str, dict[str, str]] = {
    "qemu-img": {"debian": "qemu-utils", "fedora": "qemu-img", "arch": "qemu-img", "suse": "qemu-img"},
    "qemu-io": {"debian": "qemu-utils", "fedora": "qemu-img", "arch": "qemu-img", "suse": "qemu-tools"},
    "udevadm": {"debian": "udev", "fedora": "systemd-udev", "arch": "systemd", "suse": "udev"},
    "man": {"debian": "man-db", "fedora": "man-db", "arch": "man-db", "suse": "man"},
    "mount": {"debian": "mount", "fedora": "util-linux", "arch": "util-linux", "suse": "util-linux"},
    "setpriv": {"debian": "util-linux", "fedora": "util-linux", "arch": "util-linux", "suse": "util-linux"},
    "unshare": {"debian": "util-linux", "fedora": "util-linux", "arch": "util-linux", "suse": "util-linux"},
    "blkid": {"debian": "util-linux", "fedora": "util-linux", "arch": "util-linux", "suse": "util-linux"},
    "qemu-system-x86_64": {
        "debian": "qemu-system-x86",
        "fedora": "qemu-kvm",
        "arch": "qemu-base",
        "suse": "qemu-x86",
    },
    "qemu-system-aarch64": {"debian": "qemu-system-arm", "fedora": "qemu-kvm", "suse": "qemu-arm"},
    "qemu-system-riscv64": {"debian": "qemu-system-misc", "fedora": "qemu-system-riscv", "suse": "qemu-extra"},
    "qemu-spice": {
        "debian": "qemu-system-modules-spice",
        "debian:bookworm": "qemu-system-common",
        "fedora": "qemu-ui-spice-core",
        "arch": "qemu-ui-spice-core",
        "suse": "qemu-ui-spice-core",
    },
    "qemu-block-extra": {
        "debian": "qemu-block-extra",
        "fedora": "qemu-block-rbd qemu-block-iscsi qemu-block-curl qemu-block-ssh",
        "arch": "qemu-block-iscsi qemu-block-curl qemu-block-ssh",
        "suse": "qemu-block-rbd qemu-block-iscsi qemu-block-curl qemu-block-ssh",
    },
    "qemu-usb-redir": {
        "debian": "qemu-system-common",
        "fedora": "qemu-device-usb-redirect",
        "arch": "qemu-hw-usb-redirect",
        "suse": "qemu-hw-usb-redirect",
    },
    "qemu-usb-host": {
        "debian": "qemu-system-common",
        "fedora": "qemu-device-usb-host",
        "arch": "qemu-hw-usb-host",
        "suse": "qemu-hw-usb-host",
    },
    "qemu-smartcard": {
        "debian": "qemu-system-common",
        "fedora": "qemu-device-usb-smartcard",
        "arch": "qemu-hw-usb-smartcard",
        "suse": "qemu-hw-usb-smartcard",
    },
    "qemu-qxl": {
        "debian": "qemu-system-modules-spice",
        "debian:bookworm": "qemu-system-common",
        "fedora": "qemu-device-display-qxl",
        "arch": "qemu-hw-display-qxl",
        "suse": "qemu-hw-display-qxl",
    },
    "qemu-virtio": {
        "debian": "qemu-system-common",
        "fedora": "qemu-device-display-virtio-gpu",
        "arch": "qemu-hw-display-virtio-gpu-pci",
        "suse": "qemu-hw-display-virtio-gpu-pci",
    },
    "qemu-egl-headless": {
        "debian": "qemu-system-modules-opengl",
        "fedora": "qemu-ui-egl-headless",
        "arch": "qemu-ui-egl-headless",
        "suse": "qemu-ui-opengl",
    },
    "qemu-dbus": {
        "debian": "qemu-system-gui",
        "fedora": "qemu-ui-dbus",
        "arch": "qemu-ui-dbus",
        "suse": "qemu-ui-dbus",
    },
    "virtiofsd": {"debian:bookworm": "qemu-system-common"},
    "debian-keyring": {"debian": "debian-archive-keyring", "arch": "debian-archive-keyring", "suse": ""},
    "ubuntu-keyring": {"debian:bookworm": "", "fedora": "ubu-keyring", "suse": ""},
    "virsh": {"debian": "libvirt-clients", "fedora": "libvirt-client", "arch": "libvirt", "suse": "libvirt-client"},
    "libvirtd": {
        "debian": "libvirt-daemon",
        "fedora": "libvirt-daemon",
        "arch": "libvirt",
        "suse": "libvirt-daemon-qemu",
    },
    "virtlogd": {
        "debian": "libvirt-daemon",
        "fedora": "libvirt-daemon-log",
        "arch": "libvirt",
        "suse": "libvirt-daemon-log",
    },
    "python3-libvirt": {"arch": "libvirt-python", "suse": "python3-libvirt-python"},
    "setcap": {"debian": "libcap2-bin", "fedora": "libcap", "arch": "libcap", "suse": "libcap-progs"},
    "systemd-analyze": {"debian": "systemd", "fedora": "systemd", "arch": "systemd", "suse": "systemd"},
    "systemd-notify": {"debian": "systemd", "fedora": "systemd", "arch": "systemd", "suse": "systemd"},
    "systemd-tmpfiles": {"debian": "systemd", "fedora": "systemd", "arch": "systemd", "suse": "systemd"},
    "virt-xml-validate": {
        "debian": "libvirt-clients",
        "fedora": "libvirt-client",
        "arch": "libvirt",
        "suse": "libvirt-client",
    },
    "xmllint": {"debian": "libxml2-utils", "fedora": "libxml2", "arch": "libxml2", "suse": "libxml2-tools"},
    "OVMF": {"debian": "ovmf", "fedora": "edk2-ovmf", "arch": "edk2-ovmf", "suse": "qemu-ovmf-x86_64"},
    "AAVMF": {
        "debian": "qemu-efi-aarch64",
        "fedora": "edk2-aarch64",
        "arch": "edk2-aarch64",
        "suse": "qemu-uefi-aarch64",
    },
    "RISCV_VIRT": {"debian": "qemu-efi-riscv64", "fedora": "edk2-riscv64", "arch": "", "suse": ""},
    "mmdebstrap": {"arch": "", "suse": ""},
    "pacstrap": {
        "debian": "arch-install-scripts",
        "fedora": "arch-install-scripts",
        "arch": "arch-install-scripts",
        "suse": "",
    },
    "pacman-key": {"debian": "pacman-package-manager", "fedora": "pacman", "arch": "pacman", "suse": ""},
    "makepkg": {"fedora": "pacman", "arch": "pacman", "suse": ""},
    "archlinux-keyring": {"suse": ""},
    "newuidmap": {"debian": "uidmap", "fedora": "shadow-utils", "arch": "shadow", "suse": "shadow"},
    "sfdisk": {"debian": "fdisk", "fedora": "util-linux", "arch": "util-linux", "suse": "util-linux"},
    "mkfs.btrfs": {"debian": "btrfs-progs", "fedora": "btrfs-progs", "arch": "btrfs-progs", "suse": "btrfsprogs"},
    "mkfs.ext4": {"debian": "e2fsprogs", "fedora": "e2fsprogs", "arch": "e2fsprogs", "suse": "e2fsprogs"},
    "mke2fs": {"debian": "e2fsprogs", "fedora": "e2fsprogs", "arch": "e2fsprogs", "suse": "e2fsprogs"},
    "mkfs.fat": {"debian": "dosfstools", "fedora": "dosfstools", "arch": "dosfstools", "suse": "dosfstools"},
    "debugfs": {"debian": "e2fsprogs", "fedora": "e2fsprogs", "arch": "e2fsprogs", "suse": "e2fsprogs"},
    "e2fsck": {"debian": "e2fsprogs", "fedora": "e2fsprogs", "arch": "e2fsprogs", "suse": "e2fsprogs"},
    "apt-get": {"debian": "apt", "fedora": "apt", "arch": "apt", "suse": ""},
    "dpkg-deb": {"debian": "dpkg", "fedora": "dpkg", "arch": "dpkg", "suse": ""},
    "mdir": {"debian": "mtools", "fedora": "mtools", "arch": "mtools", "suse": "mtools"},
    "mcopy": {"debian": "mtools", "fedora": "mtools", "arch": "mtools", "suse": "mtools"},
    "gpgv": {"debian": "gpgv", "fedora": "gnupg2", "arch": "gnupg", "suse": "gpg2"},
    "gpg": {"debian": "gpg", "fedora": "gnupg2", "arch": "gnupg", "suse": "gpg2"},
    "gpg-agent": {"fedora": "gnupg2", "arch": "gnupg", "suse": "gpg2"},
    "xz": {"debian": "xz-utils", "fedora": "xz", "arch": "xz", "suse": "xz"},
    "zstd": {},
    "rsync": {},
    "sshfs": {"fedora": "fuse-sshfs"},
    "ip": {"debian": "iproute2", "fedora": "iproute", "arch": "iproute2", "suse": "iproute2"},
    "dnsmasq": {"debian": "dnsmasq-base"},
    "qemu-bridge-helper": {
        "debian": "qemu-system-common",
        "fedora": "qemu-common",
        "arch": "qemu-common",
        "suse": "qemu-tools",
    },
    "dot": {"debian": "graphviz", "fedora": "graphviz", "arch": "graphviz", "suse": "graphviz"},
    "remote-viewer": {"debian": "virt-viewer", "fedora": "virt-viewer", "arch": "virt-viewer", "suse": "virt-viewer"},
    "chromium": {"debian:jammy": "", "debian:noble": ""},  # Ubuntu has it as a snap alone
    "ninja": {"debian": "ninja-build", "fedora": "ninja-build", "arch": "ninja", "suse": "ninja"},
    "shellcheck": {"fedora": "ShellCheck", "suse": "ShellCheck"},
    "isoinfo": {"debian": "genisoimage", "fedora": "genisoimage", "arch": "cdrtools", "suse": "mkisofs"},
    "ssh": {"debian": "openssh-client", "fedora": "openssh-clients", "arch": "openssh", "suse": "openssh-clients"},
    "swtpm_setup": {"debian": "swtpm-tools", "fedora": "swtpm-tools", "arch": "swtpm", "suse": "swtpm"},
    "nsenter": {"debian": "util-linux", "fedora": "util-linux", "arch": "util-linux", "suse": "util-linux"},
    "registry": {
        "debian": "docker-registry",
        "fedora": "docker-distribution",
        "arch": "",
        "suse": "distribution-registry",
    },
    "losetup": {"debian": "mount", "fedora": "util-linux", "arch": "util-linux", "suse": "util-linux"},
    "ssh-keyscan": {
        "debian": "openssh-client",
        "fedora": "openssh-clients",
        "arch": "openssh",
        "suse": "openssh-clients",
    },
    "ansible": {
        "debian": "ansible-core",
        "fedora": "ansible-core",
        "arch": "ansible-core",
        "suse": "ansible-core",
    },
    "sshd": {"debian": "openssh-server", "fedora": "openssh-server", "arch": "openssh", "suse": "openssh-server"},
    "libvirt-qemu": {
        "debian": "libvirt-daemon-driver-qemu",
        "fedora": "libvirt-daemon-driver-qemu",
        "arch": "libvirt",
        "suse": "libvirt-daemon-driver-qemu",
    },
    "libvirt.h": {"debian": "libvirt-dev", "fedora": "libvirt-devel", "arch": "libvirt", "suse": "libvirt-devel"},
    "Python.h": {"debian": "python3-dev", "fedora": "python3-devel", "arch": "python", "suse": "python3-devel"},
    "pkg-config": {"debian": "pkg-config", "fedora": "pkgconf-pkg-config", "arch": "pkgconf", "suse": "pkg-config"},
    "cc": {"debian": "gcc", "fedora": "gcc", "arch": "gcc", "suse": "gcc"},
    "createrepo_c": {"debian": "createrepo-c"},
    "rpmbuild": {"debian": "rpm", "fedora": "rpm-build", "arch": "rpm-tools", "suse": "rpm-build"},
    "zypper": {"arch": ""},
    "pacman": {"debian": "pacman-package-manager", "suse": ""},
    "useradd": {"debian": "passwd", "fedora": "shadow-utils", "arch": "shadow", "suse": "shadow"},
    "ssh-keygen": {
        "debian": "openssh-client",
        "fedora": "openssh-clients",
        "arch": "openssh",
        "suse": "openssh-clients",
    },
}
INSTALL = {
    "debian": "apt-get install",
    "fedora": "dnf install",
    "arch": "pacman -S",
    "suse": "zypper install",
}
_FAMILY_BY_ID = {
    "debian": "debian",
    "ubuntu": "debian",
    "fedora": "fedora",
    "rhel": "fedora",
    "centos": "fedora",
    "arch": "arch",
    "suse": "suse",
    "opensuse": "suse",
}


@cache
def os_release() -> Mapping[str, str]:
    """This distribution's os-release(5)."""
    values: dict[str, str] = {}
    for path in (Path("/etc/os-release"), Path("/usr/lib/os-release")):
        if path.is_file():
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                key, _, value = line.partition("=")
                values.setdefault(key, value.strip().strip("\"'"))
            break
    return values


def family() -> str | None:
    """``debian``, ``fedora``, ``arch`` or ``suse``, from ``ID`` and ``ID_LIKE`` of os-release; None if unknown."""
    values = os_release()
    for name in [values.get("ID", ""), *values.get("ID_LIKE", "").split()]:
        if found := _FAMILY_BY_ID.get(name.split("-")[0]):
            return found
    return None


def package_of(program: str, family: str) -> str | None:
    """The package that brings ``program`` in distributions of that family; None: there is none."""
    known = PACKAGES.get(program, {})
    release = f"{family}:{os_release().get('VERSION_CODENAME', '')}"
    return known.get(release, known.get(family, program)) or None


def extra_hint(extra: str) -> str:
    """How pip adds an extra to the ovtasks that runs: from the place that it was installed from, whatever that was."""
    import importlib.metadata
    import json
    from urllib.parse import unquote, urlsplit

    try:
        origin = importlib.metadata.distribution("ovtasks").read_text("direct_url.json")
        facts = json.loads(origin) if origin else {}
        url = str(facts["url"])
    except (importlib.metadata.PackageNotFoundError, ValueError, KeyError, TypeError):
        return f"pip install 'ovtasks[{extra}]'"  # from an index
    if facts.get("dir_info", {}).get("editable"):
        return f"pip install -e '{unquote(urlsplit(url).path)}[{extra}]'"
    return f"pip install 'ovtasks[{extra}] @ {url}'"


def package_hint(program: str) -> str:
    """One line that says how to install ``program`` on this host."""
    name = family()
    package = name and package_of(program, name)
    if not (name and package):
        return f"install the package that brings {program}"
    return f"{INSTALL[name]} {package}"
