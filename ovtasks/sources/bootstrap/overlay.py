"""The files that we add to those of the packages, and the boot loader's configuration."""

from __future__ import annotations

from pathlib import Path

from ovtasks.sources.bootstrap.recipe import KERNEL_ARGS, Recipe

BOOT_CFG = "/boot/grub/ov.cfg"  # not grub.cfg, which update-grub writes in a guest that installs GRUB's packages

# Units that slow down the boot, above all without KVM, and do nothing useful in a fresh VM.
MASKED = ("e2scrub_reap.service", "e2scrub_all.timer", "apt-daily.timer", "apt-daily-upgrade.timer")

CLOUD_CFG = """\
# NoCloud: the seed disk. None: boot goes on without a seed.
datasource_list: [NoCloud, None]
# Each further kind of key costs seconds under emulation.
ssh_genkeytypes: [ed25519]
# No locales are in the image; C.UTF-8 needs none.
locale: false
# The boot loader is not managed by packages.
grub_dpkg: {enabled: false}
"""
HOSTS = """\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""
# See linux-update-symlinks(1). The distribution points /boot/vmlinuz and /boot/initrd.img at the newest kernel, so the
# boot loader's configuration never changes.
KERNEL_IMG = "do_symlinks = yes\nlink_in_boot = yes\n"
INITRAMFS = "RESUME=none\nCOMPRESS=zstd\n"


def files(recipe: Recipe) -> dict[str, str]:
    """Path inside the image → content."""
    root = recipe.identifier("root")
    check = "errors=remount-ro 0 1" if recipe.rootfs == "ext4" else "defaults 0 0"
    return {
        "/etc/fstab": f"UUID={root} / {recipe.rootfs} {check}\n",
        "/etc/hosts": HOSTS,
        "/etc/kernel-img.conf": KERNEL_IMG,
        "/etc/initramfs-tools/conf.d/ov": INITRAMFS,
        "/etc/cloud/cloud.cfg.d/90_ov.cfg": CLOUD_CFG,
        BOOT_CFG: boot_cfg(recipe),
    }


def write(recipe: Recipe, directory: Path) -> None:
    """Write the files below ``directory``, and mask the units of ``MASKED``."""
    for path, content in files(recipe).items():
        target = directory / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, encoding="utf-8")
    units = directory / "etc/systemd/system"
    units.mkdir(parents=True, exist_ok=True)
    for unit in MASKED:
        (units / unit).symlink_to("/dev/null")


def early_cfg(recipe: Recipe) -> str:
    """What GRUB reads first, from its own image or from the ESP: it finds the root by its UUID and continues there."""
    root = recipe.identifier("root")
    return f"search --no-floppy --fs-uuid --set=root {root}\nset prefix=($root)/boot/grub\nconfigfile {BOOT_CFG}\n"


def boot_cfg(recipe: Recipe) -> str:
    """GRUB's menu. It starts the newest kernel at once; a key held down at the console shows the previous one, too."""
    root = recipe.identifier("root")
    console = recipe.arch.console
    args = KERNEL_ARGS.get(recipe.architecture, ())
    own = [f"root=UUID={root}", "ro", *args, "console=tty0", f"console={console},115200"]
    line = " ".join([*own, *(f"'{arg}'" for arg in recipe.kernel_args)])
    serial = (
        "serial --unit=0 --speed=115200\nterminal_input console serial\nterminal_output console serial\n"
        if console == "ttyS0"
        else ""
    )
    if recipe.kernel:
        start = f"  linux /boot/vmlinuz-{recipe.kernel} {line}\n  initrd /boot/initramfs-{recipe.kernel}.img\n"
        return f"{serial}set default=0\nset timeout=0\nmenuentry 'Linux' {{\n{start}}}\n"
    return (
        f"{serial}set default=0\nset timeout=0\n"
        f"menuentry 'Linux' {{\n  linux /boot/vmlinuz {line}\n  initrd /boot/initrd.img\n}}\n"
        f"menuentry 'Linux, previous kernel' {{\n  linux /boot/vmlinuz.old {line}\n  initrd /boot/initrd.img.old\n}}\n"
    )
