"""What this checkout's own goals need of the host: ``./doitw test``, ``./doitw bench`` and ``./doitw demo``."""

from __future__ import annotations

from ovtasks.sources.bootstrap.programs import OF_ROOT, PACSTRAP_PROGRAMS, PROGRAMS

BENCH = ("qemu-img", "curl", "make", "ninja", "ssh", "sshd")
TEST = (
    *(*PROGRAMS, *PACSTRAP_PROGRAMS, *OF_ROOT["ext4"], *BENCH, "debian-keyring", "gpg"),
    *("Python.h", "cc", "libvirt.h", "pkg-config"),  # to compile libvirt's Python binding
    *("podman", "runc", "nsenter", "losetup", "debugfs", "registry", "sudo", "newuidmap"),  # for bootc's tests
    *("libvirtd", "libvirt-qemu", "virsh", "virt-xml-validate"),
    *("qemu-io", "qemu-spice", "qemu-system-x86_64", "swtpm", "swtpm_setup", "virtiofsd", "OVMF"),
    *("ssh-keygen", "ssh-keyscan", "sshfs", "dnsmasq", "ip", "ansible"),
    *(
        "bash",
        "busybox",
        "dash",
        "dot",
        "fish",
        "git",
        "rsync",
        "shellcheck",
        "mandoc",
        "tmux",
        "xmllint",
        "zsh",
        "cloud-init",
    ),
    *("gpg-agent", "gpgv", "xz", "zstd"),
    "chromium",  # looks at the pages that ov makes
    *("blkid", "e2fsck", "isoinfo", "mdir", "mkfs.btrfs", "mount", "setpriv", "useradd"),
    *("setcap", "systemd-analyze", "systemd-notify", "systemd-tmpfiles"),
    *("dnf", "zypper", "pacman", "rpmbuild", "createrepo_c"),  # for layers of packages
)
SERVICES = ("sshd", "registry", "libvirtd", "libvirt-qemu", "cloud-init")
"""Of these, those whose packages may start services, at once or at the next boot."""
NO_SERVICES = "--no-services"
"""``./doitw test`` without them."""
GOALS = {"test": TEST, "bench": BENCH}
STANDS_FOR = {"demo": "create:demo"}
"""A goal that needs what another one needs."""
