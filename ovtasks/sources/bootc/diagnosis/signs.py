"""What the installer says when it fails, and what it means for the user. Pure.

The messages come from bootc (1.1 to 1.16; each was seen, or read in its source) and from its tools (mkfs, sfdisk,
mount). The kernel's error numbers are the same in every language. The first row that matches counts, so special rows
stand before general ones.
"""

from __future__ import annotations

from typing import NamedTuple

ROOTFUL = "ov settings get engine.rootful; a rootless podman cannot install a disk"
REPORT = "this is a mistake in ovtasks; please report it with the log"
ENLARGE = "enlarge disk_size, or root_size"
UDEV = "install udev and start it (systemd-udevd): the machine whose podman installs must have udevadm and /run/udev"
FULL = r"(?:[Nn]o space left on device|\(os error 28\))"


class Sign(NamedTuple):
    """One row. ``pattern`` is looked for in the output; ``message`` and ``hint`` may refer to its groups (``\\1``).
    ``input``: the user's spec or image is the cause, not the machine."""

    pattern: str
    message: str
    hint: str
    input: bool = False


SPACE = r"Insufficient free space for .*?\(available:\s*(?P<free>[^()]+?)\s+required:\s*(?P<needed>[^()]+?)\s*\)"
"""bootc prints it before it copies the image. Both groups are amounts such as ``671.2 MB``."""

RIGHTS = (
    Sign(
        r"/proc/1 is owned by|must be run in the root user namespace|Cannot install from rootless podman",
        "the container is not root on this machine",
        ROOTFUL,
    ),
    Sign(
        r"user inside the container.*must be root|must be executed as the root user",
        "the image's user is not root",
        "USER root at the Containerfile's end",
        True,
    ),
    Sign(
        r"executed with full privileges|requires full root privileges|[Mm]ount(?:ing)? .*\(os error 13?\)",
        "the container was not given all rights",
        ROOTFUL,
    ),
    Sign(r"--pid=host flag", "the container does not see the machine's processes", ROOTFUL),
    Sign(
        r"(?:open pid1 mountns|setns): .*(?:not permitted|denied|\(os error 1\)|\(os error 13\))",
        "the installer may not see the files of the machine's first process",
        "build on the machine itself, not in a container; or ov settings set engine.rootful machine",
    ),
    Sign(
        r"Loopback mounts .* require host devices",
        "the container does not see the machine's loop devices",
        "the bootc in this image is old (1.1.2): build it from a newer base",
    ),
)

MACHINE = (
    Sign(
        r"Gathering source info.*Re-exec in host mountns.*No such file",
        "the installer does not find podman on the machine that its container runs on",
        "build where podman itself runs, not in a container; or ov settings set engine.rootful machine",
    ),
    Sign(r"/run/udev|udevadm|Re-exec in host mountns", "udev is not there", UDEV),
    Sign(
        r"Missing partition for index|[Ff]ind(?:ing)? partition \d|partition \d+ (?:was )?not found"
        r"|/dev/loop\d+p\d+\b.*(?:No such file|No such device or address|\(os error [26]\)|does not exist)",
        "the partitions of the new disk do not appear",
        f"{UDEV}; the kernel must read GPT partition tables",
    ),
    Sign(
        r"(?:\bESP\b|\bEFI\b|vfat).*(?:No such device(?! or)|\(os error 19\)|[Uu]nknown filesystem type)"
        r"|unknown filesystem type '?vfat|unsupported filesystem.*vfat",
        "the kernel that runs cannot mount FAT, and the EFI system partition is that",
        "as root: modprobe vfat (a kernel that was upgraded wants a reboot first); a kernel without it: "
        "ov settings set engine.rootful machine",
    ),
    Sign(
        r"unknown filesystem type '?(\w+)",
        r"the kernel that runs cannot mount \1, the file system of the new disk",
        r"reboot if the kernel was upgraded; or as root: modprobe \1",
    ),
    Sign(
        r"[Mm]ount(?:ing)? .*(?:No such device(?! or)|\(os error 19\))",
        "the kernel that runs cannot mount the file system of the new disk",
        "source.rootfs: ext4, xfs or btrfs, one that the kernel has (/proc/filesystems)",
    ),
    Sign(
        r"inspecting object: no such object",
        "the installer does not find its own image in podman's storage",
        "it looks in /var/lib/containers only: remove graphroot from storage.conf, or copy the image there",
    ),
    Sign(
        r"(?:losetup:|/dev/loop).*(?:No such (?:file|device)|[Cc]annot find an unused|not permitted)"
        r"|LOOP_CTL|loop-control",
        "no loop device is to be had",
        "as root: modprobe loop; losetup --list shows those in use",
    ),
)

ROOM = (
    Sign(
        rf"(?:\bESP\b|/EFI\b|/efi\b|bootctl|UKI|BLS boot).*{FULL}",
        "the image's boot files do not fit on the EFI system partition, whose size is bootc's",
        "a smaller initramfs or UKI; source.composefs: true makes that partition 1 GiB, else it has 512 MiB",
        True,
    ),
    Sign(
        r"[Nn]o free sectors|Numerical result out of range|[Ff]ailed to add #\d+ partition|Sector \d+ already used",
        "the partitions do not fit on the disk",
        ENLARGE,
        True,
    ),
    Sign(
        r"must be larger than \d+ ?[KMG]B|too small (?:to make a usable|for a journal|to hold)|minimum size for each",
        "the disk leaves too little for a root file system of that kind",
        ENLARGE,
        True,
    ),
    Sign(
        rf"{FULL}|min-free-space|[Ii]nsufficient free space|bigger than the available|does not fit"
        r"|(?:disk|device) (?:is )?too small",
        "the image does not fit on the disk",
        ENLARGE,
        True,
    ),
)

IMAGE = (
    Sign(
        r"bootupd is required for ostree-based installs",
        "the image has no bootupd, by which bootc puts GRUB on an ostree disk",
        "source.bootloader: systemd with source.composefs: true, if systemd-boot is in the image; or install bootupd "
        "in the Containerfile",
        True,
    ),
    Sign(
        r"Bootloader set to none is not supported with the composefs",
        "composefs needs a boot loader",
        "source.bootloader: systemd or grub, or source.composefs: false",
        True,
    ),
    Sign(
        r"externally specified kernel arguments with UKI",
        "the image's kernel is a UKI, which has its command line inside",
        "remove source.kernel_args; they belong in the UKI when the image is built (/usr/lib/bootc/kargs.d)",
        True,
    ),
    Sign(
        r"splitstream content type",
        "composefs wants an image in OCI's format, and this one has docker's",
        "podman build --format oci; what came as docker-archive: podman save --format oci-archive, then transport: "
        "oci-archive; or source.composefs: false",
        True,
    ),
    Sign(
        r"root authorized_keys.*a path led outside|a path led outside.*\broot\b",
        "the image's /root is a link with an absolute target, and the key cannot be written behind it",
        "in the Containerfile: RUN ln -sfnT var/roothome /root; or ssh.key_injection.install: disabled",
        True,
    ),
    Sign(
        r"a path led outside of the filesystem",
        "a link in the image has an absolute target, which bootc does not follow",
        "make it a relative one in the Containerfile",
        True,
    ),
    Sign(
        r"fs-?verity.*(?:not supported|unsupported|\(os error (?:25|95)\))|[Ee]nabl\w* (?:fs)?verity",
        "composefs wants fs-verity, and the root file system has not got it",
        "source.rootfs: ext4 or btrfs, or source.composefs: false",
        True,
    ),
    Sign(
        r"prepare-root\.conf|prepareroot",
        "the image does not say how its root is mounted",
        "a bootc image has /usr/lib/ostree/prepare-root.conf: build it FROM one, or add that file",
        True,
    ),
    Sign(
        r"resolving bound image (\S+):\s",
        r"the image is bound to \1, which is not in the storage of the podman that installs",
        r"as root: podman pull \1",
        True,
    ),
    Sign(
        r"SELinux enabled, but no policy",
        "the image switches SELinux on and has no policy",
        "install selinux-policy-targeted in the Containerfile",
        True,
    ),
    Sign(
        r"[Nn]o kernel (?:was )?found|[Ff]ind(?:ing)? kernel|initramfs not found|[Rr]eading (?:vmlinuz|initrd)",
        "the image has no kernel where bootc looks for it",
        "it wants /usr/lib/modules/VERSION/vmlinuz and initramfs.img beside it",
        True,
    ),
    Sign(
        r"\b(mkfs\.\w+|skopeo|sfdisk|lsblk|bootctl|ostree)\b[\"'`]?(?:: command)?:? not found"
        r"|(?:[Ss]pawn\w*|[Ee]xec\w*|[Rr]unning|[Ii]nvok\w+)\W+(?:\w+\W+){0,2}?(?:mkfs|skopeo|sfdisk|lsblk|bootctl)\b"
        r".*(?:No such file|not found)",
        "the image lacks a program that the installer runs",
        "install it in the Containerfile (skopeo, fdisk, util-linux, xfsprogs, btrfs-progs, e2fsprogs, dosfstools)",
    ),
)

WORDS = (
    Sign(r"No root filesystem specified|no filesystem specified", "the installer was told no root file system", REPORT),
    Sign(
        r"Parsing root size|Trailing text after size",
        "the installer does not understand the size of the root file system",
        "root_size: 10G",
        True,
    ),
    Sign(
        r"(?:[Uu]nknown|[Ii]nvalid) transport",
        "the installer does not know the transport",
        "source.target_imgref: registry/name:tag",
        True,
    ),
    Sign(r"Detected existing partitions", "the new disk has partitions already", REPORT),
    Sign(r"Device \S+ is mounted", "the new disk is mounted", "findmnt shows by whom; then run it again"),
    Sign(
        r"Querying .*: No such file or directory",
        "the disk's file vanished while it was installed",
        "run it again",
    ),
    Sign(r"Not a block device|Not a regular file", "the installer did not take the disk's file", REPORT),
    Sign(r"Reading \S*authorized_keys", "the SSH keys cannot be read by the installer", "check ssh.key_source", True),
    Sign(
        r"Unsupported architecture",
        "bootc does not make disks for this architecture",
        "build on x86_64, aarch64, ppc64le or s390x",
    ),
    Sign(
        r"error: unexpected argument|error: invalid value|Usage: bootc",
        "the bootc in this image understands other options",
        REPORT,
    ),
)

SIGNS = (*RIGHTS, *IMAGE, *MACHINE, *ROOM, *WORDS)

STAGES = (
    Sign(
        r"Installing bootloader",
        "the boot loader could not be installed",
        "source.bootloader chooses another (grub, systemd, none)",
    ),
    Sign(
        r"Creating \w+ filesystem|Initializing /boot",
        "the disk's file systems could not be made",
        "source.rootfs: another one",
    ),
    Sign(r"run sfdisk|Initializing partitions", "the new disk could not be partitioned", ENLARGE),
    Sign(r"Pulling image into|Deploying container|Creating ostree", "the image could not be copied to the disk", ""),
)
"""How far the installer came, for errors that do not say why. The message quotes the lines before them."""
