"""Makes the root tree of Arch Linux and its kin with pacstrap, from the packages of their own repositories."""

from __future__ import annotations

import os
import re
import shutil
from importlib.resources import files
from pathlib import Path

from ovtasks.errors import InputError, OvError, Where
from ovtasks.host.packages import package_hint
from ovtasks.host.progress import Progress
from ovtasks.host.run import CommandError
from ovtasks.sources.bootstrap import overlay
from ovtasks.sources.bootstrap.pacman import KEYRINGS, Pacman
from ovtasks.sources.bootstrap.recipe import CONFIGURE_TIME, Recipe
from ovtasks.sources.bootstrap.sandbox import inside
from ovtasks.sources.bootstrap.tree import RootTree, check_space, finish

# What any of our machines may start from; the host on which the image is made says nothing about that (autodetect).
MKINITCPIO = """\
MODULES=(virtio_pci virtio_blk virtio_scsi virtio_net ahci nvme sd_mod)
HOOKS=(base systemd modconf keyboard block filesystems fsck)
COMPRESSION="zstd"
"""
NETWORK = "[Match]\nType=ether\nKind=!*\n\n[Network]\nDHCP=yes\n"
# pacman trusts by a key of the machine's own, so each VM makes one, at its first boot.
KEYS_UNIT = """\
[Unit]
Description=Make pacman's keyring
ConditionPathExists=!/etc/pacman.d/gnupg/trustdb.gpg

[Service]
Type=oneshot
ExecStart=/usr/bin/pacman-key --init
ExecStart=/usr/bin/pacman-key --populate

[Install]
WantedBy=multi-user.target
"""


def make(recipe: Recipe, scratch: Path, progress: Progress, where: Where, *, loud: bool = False) -> RootTree:
    """Make the tree below ``scratch``, an empty folder; ``loud``: every line of its programs is a note.

    :raises InputError: there is no such package.
    :raises OvError: a signature is bad, the mirror cannot be reached, space is short, or a program failed.
    """
    assert recipe.pacman is not None
    check_space(scratch)
    names = _prepare(recipe, recipe.pacman, scratch)
    packages = recipe.all_packages()
    progress.note(f"{recipe.distro}: root tree of {len(packages)} packages and their needs")
    follow = _PacmanLines(progress, loud)
    stamp = scratch / "stamp"
    stamp.touch()
    try:
        script = ["sh", str(scratch / "pacstrap.sh"), str(scratch), *names, "--", *packages]
        inside(script, epoch=CONFIGURE_TIME, cwd=scratch, on_line=follow)
        last = ["sh", *(str(scratch / name) for name in ("pacman-finish.sh", "root", "boot", "early.cfg"))]
        inside(last, epoch=CONFIGURE_TIME, cwd=scratch, on_line=follow)
    except CommandError as e:
        raise diagnose_pacman(e, recipe, where) from e
    return finish(scratch, installed(scratch / "root"))


def check(recipe: Recipe) -> None:
    """Check that the keys are there and that we may make a tree.

    :raises OvError: a keyring is not installed, or we are not root.
    """
    assert recipe.pacman is not None
    for path in recipe.pacman.keyrings:
        if not path.is_file():
            name = f"{path.stem}-keyring"
            hint = "source.keyring: a list of files with the distribution's keys (OpenPGP), fetched from its site"
            if path == KEYRINGS[0] / "archlinux.gpg":
                hint = package_hint(name)
            raise OvError(f"the keys of {path.stem}'s packages are not installed here: {path}", hint=hint)
    if os.geteuid() != 0:
        raise OvError(
            "pacstrap needs root: it mounts a devtmpfs, which user namespaces refuse",
            hint="run this build as root, or start from the distribution's own image with source.kind: cloud_image",
        )


def installed(root: Path) -> tuple[str, ...]:
    """The installed packages, from pacman's local database, as lines ``name version architecture``."""
    found = []
    for desc in (root / "var/lib/pacman/local").glob("*/desc"):
        text = desc.read_text(encoding="utf-8", errors="replace")
        fields = dict(re.findall(r"^%([A-Z]+)%\n(.+)$", text, re.MULTILINE))
        found.append(f"{fields['NAME']} {fields['VERSION']} {fields['ARCH']}")
    return tuple(sorted(found))


def diagnose_pacman(error: CommandError, recipe: Recipe, where: Where) -> OvError:
    """The error in the user's terms; ``error`` itself if its message is unknown."""
    text = error.stderr
    if found := re.search(r"error: target not found: (\S+)", text):
        hint = "the distribution's package search knows the names; further repositories: source.repositories"
        return InputError(f"{recipe.distro} has no package {found[1]}", hint=hint, where=where)
    signature = (
        r"invalid or corrupted (?:package|database) \(PGP signature\)|signature from .* is |missing required sig"
    )
    if re.search(rf"{signature}|required key missing from keyring|key .* could not be (?:looked up|imported)", text):
        (line, *_) = [said for said in text.splitlines() if re.search(f"{signature}|key ", said)]
        hint = "source.keyring names the keys that are trusted; newer packages may take a newer keyring package"
        return OvError(f"a signature of {recipe.distro}'s packages is not good: {line.strip()}", hint=hint, where=where)
    if re.search(r"No space left on device|not enough free disk space", text):
        return OvError("the disk filled up during the bootstrap", hint="the output folder needs about 3 GiB free")
    if found := re.search(r"error: failed retrieving file '([^']+)' from (\S+) : (.*)", text):
        hint = "source.mirror names another one; http_proxy is honoured"
        return OvError(f"the mirror {found[2]} does not give {found[1]}: {found[3]}", hint=hint, where=where)
    if found := re.search(r"There is no secret key available to sign with|gpg: .*error.*|.*cannot .*keyring.*", text):
        return OvError(f"the keyring of {recipe.distro} cannot be used: {found[0].strip()}", where=where)
    return error


def late_files(recipe: Recipe) -> dict[str, str]:
    """Path inside the image → content, for what no package may own or what takes the place of a package's file."""
    assert recipe.pacman is not None
    common = overlay.files(recipe)
    kept = ("/etc/fstab", "/etc/hosts", "/etc/cloud/cloud.cfg.d/90_ov.cfg", overlay.BOOT_CFG)
    return {
        **{path: common[path] for path in kept},
        "/etc/locale.conf": "LANG=C.UTF-8\n",
        "/etc/pacman.d/mirrorlist": "".join(f"Server = {server}\n" for server in recipe.pacman.mirrors),
        "/etc/systemd/network/80-ov.network": NETWORK,
        "/etc/systemd/system/ov-pacman-keys.service": KEYS_UNIT,
    }


def _prepare(recipe: Recipe, pacman: Pacman, scratch: Path) -> list[str]:
    """Write what the scripts read; returns the keyrings' names."""
    _write(scratch / "early", {"/etc/mkinitcpio.conf.d/ov.conf": MKINITCPIO})
    _write(scratch / "late", late_files(recipe))
    _write(scratch, {"/early.cfg": overlay.early_cfg(recipe), "/pacman.conf": pacman.conf("@GPG@")})
    for script in ("pacstrap.sh", "pacman-finish.sh", "finish.sh"):
        _write(scratch, {f"/{script}": (files(__package__) / "scripts" / script).read_text(encoding="utf-8")})
    if pacman.further:
        _write(scratch, {"/pacman.add": "\n" + "\n".join(pacman.sections(*pacman.further))})
    return [_keyring(path, scratch / "keyrings", f"ov{number}") for number, path in enumerate(pacman.keyrings)]


def _keyring(path: Path, folder: Path, name: str) -> str:
    """Put a keyring where pacman-key(8) reads it. The file ``-trusted`` beside it says whom the rest hangs on.

    Without such a file, every key in the keyring is trusted by itself.
    """
    folder.mkdir(exist_ok=True)
    shutil.copyfile(path, folder / f"{name}.gpg")
    trusted, revoked = (path.with_name(f"{path.stem}-{what}") for what in ("trusted", "revoked"))
    if trusted.is_file():
        shutil.copyfile(trusted, folder / f"{name}-trusted")
    else:
        words = ["gpg", "--batch", "--no-options", "--homedir", str(folder), "--with-colons", "--show-keys", str(path)]
        listed = inside(words, epoch=CONFIGURE_TIME, cwd=folder).stdout
        prints = re.findall(r"^pub:.*\n(?:(?!pub:).*\n)*?fpr:+([0-9A-F]+):", listed, re.MULTILINE)
        if not prints:
            raise InputError(f"{path} holds no OpenPGP key", hint="source.keyring: gpg --export KEY > FILE")
        (folder / f"{name}-trusted").write_text("".join(f"{one}:4:\n" for one in prints), encoding="ascii")
    if revoked.is_file():
        shutil.copyfile(revoked, folder / f"{name}-revoked")
    return name


def _write(folder: Path, content: dict[str, str]) -> None:
    for path, text in content.items():
        target = folder / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


class _PacmanLines:
    """Turns the lines of pacman into progress."""

    def __init__(self, progress: Progress, loud: bool) -> None:
        self.progress, self.loud, self.percent = progress, loud, 0

    def __call__(self, line: str) -> None:
        if self.loud and line.strip():
            self.progress.note(line)
        found = re.match(r"\(\s*(\d+)/(\d+)\) installing", line)
        percent = 25 + 45 * int(found[1]) // int(found[2]) if found else {"ov: keys": 1, "ov: packages": 4}.get(line, 0)
        if percent > self.percent:
            self.percent = percent
            self.progress.update(percent, 100, "%")
