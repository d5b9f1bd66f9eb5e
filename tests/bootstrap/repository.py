"""A pacman repository that a test makes: tiny packages, signed by a key of the test's own."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from pathlib import Path

from ovtasks.host.run import run

# Stands for the tree's programs: what the build calls inside it, with the sizes that GRUB's images have.
SHELL = "/usr/bin/busybox"
PACKAGER = "A Packager"
MKIMAGE = """#!/bin/sh
for word; do case $word in --output=*) out=${word#*=} ;; esac; done
head -c 4096 /bin/busybox > "$out"
"""
RUN = re.compile(r"/bin/|\.so")
"""What is a program. The loader of programs that are not static is one, too."""
SYSTEMCTL = '#!/bin/sh\necho "$2" >> /etc/enabled\n'
BULK = bytes(128 << 20)  # a journal needs a file system of some size
KERNEL = {"boot/vmlinuz-linux": b"kernel", "boot/initramfs-linux.img": BULK}


def contents() -> dict[str, dict[str, bytes]]:
    """Package → its files; a file below ``bin`` is a program."""
    tree = {
        "usr/bin/busybox": Path(SHELL).read_bytes(),
        "etc/shadow": b"root:!:19000::::::\n",
        "etc/fstab": b"# the package's\n",
        "etc/pacman.conf": b"[options]\n[core]\nInclude = /etc/pacman.d/mirrorlist\n",
        "usr/lib/systemd/system/systemd-networkd.service": b"",
    }
    found = {name: {f"usr/share/{name}": name.encode()} for name in NAMES}
    found["base"] |= tree | libraries()
    found["grub"] |= {
        "usr/bin/grub-mkimage": MKIMAGE.encode(),
        "usr/bin/systemctl": SYSTEMCTL.encode(),
        "usr/lib/grub/i386-pc/boot.img": bytes(512),
    }
    found["linux"] |= KERNEL
    found["openssh"] |= {"usr/lib/systemd/system/sshd.service": b""}
    return found


def libraries() -> dict[str, bytes]:
    """What the shell is linked with: nothing in busybox-static, the C library in Debian's other busybox."""
    listed = run(["ldd", SHELL], check=False).stdout
    return {path.lstrip("/"): Path(path).read_bytes() for path in re.findall(r"(/\S+) \(0x", listed)}


NAMES = (
    *("base", "cloud-guest-utils", "cloud-init", "grub", "mkinitcpio", "netplan", "openssh", "sudo", "linux"),
    *("systemd-resolvconf", "zstd", "e2fsprogs", "extra-tool"),
)


class Signer:
    """An OpenPGP key in a folder of its own, with a short name because gpg's sockets are in it."""

    def __init__(self, home: Path, name: str) -> None:
        self.home = home
        home.mkdir(mode=0o700)
        words = ["--pinentry-mode", "loopback", "--passphrase", "", "--quick-gen-key", name, "ed25519", "sign", "never"]
        self.gpg(*words)
        self.keyring = home / "public.gpg"
        self.gpg("--output", str(self.keyring), "--export")

    def gpg(self, *words: str) -> None:
        """Run gpg with this key."""
        run(["gpg", "--batch", "--yes", "--homedir", self.home, *words])

    def sign(self, path: Path) -> None:
        """Make ``path``.sig."""
        self.gpg("--output", f"{path}.sig", "--detach-sign", str(path))

    def close(self) -> None:
        """End gpg's agent."""
        run(["gpgconf", "--homedir", self.home, "--kill", "all"], check=False)


def make_package(folder: Path, name: str, files: dict[str, bytes], signer: Signer) -> Path:
    """A package as makepkg(8) lays it out, signed."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"pkgname = {name}\npkgver = 1-1\npkgdesc = {name}\narch = any\nsize = 1\npackager = {PACKAGER}\n"
    path = folder / f"{name}-1-1-any.pkg.tar.zst"
    tar = path.with_suffix("")
    with tarfile.open(tar, "w") as archive:
        for at, data in {".PKGINFO": info.encode(), **dict(sorted(files.items()))}.items():
            entry = tarfile.TarInfo(at)
            entry.size, entry.mtime, entry.mode = len(data), 1_700_000_000, 0o755 if RUN.search(at) else 0o644
            archive.addfile(entry, io.BytesIO(data))
        if name == "base":
            for link, target in {"bin": "usr/bin", **{f"usr/bin/{word}": "busybox" for word in APPLETS}}.items():
                entry = tarfile.TarInfo(link)
                entry.type, entry.linkname, entry.mtime = tarfile.SYMTYPE, target, 1_700_000_000
                archive.addfile(entry)
    run(["zstd", "-q", "-f", "--rm", tar, "-o", path])
    signer.sign(path)
    return path


APPLETS = ("sh", "head", "env", "cat")


def make_repository(folder: Path, name: str, packages: dict[str, dict[str, bytes]], signer: Signer) -> str:
    """A repository below ``folder/name``; returns the line for ``Server``."""
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    made = [make_package(place, package, files, signer) for package, files in packages.items()]
    write_database(place, name, made)
    return f"file://{folder}/$repo"


def write_database(place: Path, name: str, packages: list[Path]) -> None:
    """The database that repo-add(8) makes, which needs bsdtar: an entry ``desc`` for each package."""
    with tarfile.open(place / f"{name}.db", "w:gz") as archive:
        for path in packages:
            title = path.name.removesuffix("-1-1-any.pkg.tar.zst")
            data = path.read_bytes()
            fields = {
                "FILENAME": path.name,
                "NAME": title,
                "VERSION": "1-1",
                "CSIZE": str(len(data)),
                "ISIZE": "1",
                "SHA256SUM": hashlib.sha256(data).hexdigest(),
                "ARCH": "any",
                "PACKAGER": PACKAGER,
            }
            text = "".join(f"%{key}%\n{value}\n\n" for key, value in fields.items()).encode()
            entry = tarfile.TarInfo(f"{title}-1-1/desc")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text))
