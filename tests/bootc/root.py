"""The Debian root that these tests' container images start from: mmdebstrap, and the mirror that it finds."""

from __future__ import annotations

from pathlib import Path

from ovtasks.host.run import run

SUITE = "trixie"
PACKAGES = (
    *("dbus", "initramfs-tools", "iproute2", "linux-image-cloud-amd64", "netbase", "openssh-server", "systemd"),
    *("systemd-sysv", "udev", "zstd"),
    # what the installer runs; a bootc image has its tools inside, too
    *("btrfs-progs", "dosfstools", "e2fsprogs", "fdisk", "grub-efi-amd64-bin", "grub-pc-bin", "grub2-common", "mtools"),
    *("util-linux", "util-linux-extra", "xfsprogs"),
)
USER = "core"  # somebody to log in as who is not root
# Under emulation every service counts: e2scrub_reap alone takes 40 s.
MASKED = (
    *("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer"),
    *("e2scrub_reap.service", "getty@tty1.service", "systemd-networkd-wait-online.service"),
)
EXCLUDED = ("/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/man/*")
NETWORK = "[Match]\nName=e*\n[Network]\nDHCP=yes\n"
# Debian's package makes host keys when it is installed, and they must not be in an image. Making one is cheap.
HOST_KEY = """[Service]
ExecStartPre=
ExecStartPre=/bin/sh -c '[ -e /etc/ssh/ssh_host_ed25519_key ] || ssh-keygen -q -t ed25519 -N "" \
-f /etc/ssh/ssh_host_ed25519_key'
ExecStartPre=/usr/sbin/sshd -t
"""
SSHD = "HostKey /etc/ssh/ssh_host_ed25519_key\n"
FILES = {
    "etc/initramfs-tools/conf.d/virtual": "MODULES=most\n",
    "etc/systemd/network/80-dhcp.network": NETWORK,
    "etc/systemd/system/ssh.service.d/host-key.conf": HOST_KEY,
    "etc/ssh/sshd_config.d/host-key.conf": SSHD,
}
# A bootc image keeps its kernel with the kernel's modules, and has an empty /boot.
FINISH = f"""
set -eu
chroot "$1" systemctl --quiet enable systemd-networkd ssh
for unit in {" ".join(MASKED)}; do ln -sf /dev/null "$1/etc/systemd/system/$unit"; done
chroot "$1" passwd --quiet --lock root
chroot "$1" useradd --create-home --shell /bin/bash {USER}
echo localhost > "$1/etc/hostname"
mkdir -p "$1/usr/lib/bootc/install"
kernel=$(ls "$1/usr/lib/modules")
mv "$1/boot/vmlinuz-$kernel" "$1/usr/lib/modules/$kernel/vmlinuz"
mv "$1/boot/initrd.img-$kernel" "$1/usr/lib/modules/$kernel/initramfs.img"
rm -rf "$1"/boot/* "$1"/etc/ssh/ssh_host_* "$1/var/lib/dbus/machine-id" "$1"/var/log/*.log "$1"/vmlinuz* "$1"/initrd*
: > "$1/etc/machine-id"
"""


def make_root(archive: Path) -> None:
    """Make the root tree as a tar file: about a minute."""
    overlay = archive.with_name(f"{archive.name}.overlay")
    for name, text in FILES.items():
        path = overlay / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    finish = archive.with_name(f"{archive.name}.finish")
    finish.write_text(FINISH, encoding="utf-8")
    run(arguments(archive, overlay, finish), timeout=1800.0)


def arguments(archive: Path, overlay: Path, finish: Path) -> list[str]:
    """mmdebstrap(1)'s command line; the hooks get the tree as ``$1``."""
    return [
        "mmdebstrap",
        "--mode=root",
        "--variant=minbase",
        "--format=tar",
        '--aptopt=APT::Install-Recommends "false"',
        '--aptopt=Acquire::Languages "none"',
        '--aptopt=Acquire::Retries "3"',
        "--dpkgopt=force-unsafe-io",
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in EXCLUDED),
        f"--include={','.join(PACKAGES)}",
        f'--setup-hook=cp -R {overlay}/. "$1"',
        f'--customize-hook=sh {finish} "$1"',
        SUITE,
        str(archive),
    ]
