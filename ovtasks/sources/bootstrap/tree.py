"""Makes the root tree with mmdebstrap: its arguments, its progress, its errors in the user's terms."""

from __future__ import annotations

import fcntl
import os
import re
import shlex
import shutil
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from ovtasks.errors import OvError, Where
from ovtasks.host.files import discard, open_own
from ovtasks.host.packages import os_release, package_hint
from ovtasks.host.progress import Progress
from ovtasks.host.run import CommandError, require
from ovtasks.sources.bootstrap import overlay
from ovtasks.sources.bootstrap.diagnosis import diagnose
from ovtasks.sources.bootstrap.recipe import CONFIGURE_TIME, DISTROS, Recipe
from ovtasks.sources.bootstrap.sandbox import inside

KEYRINGS = Path("/usr/share/keyrings")
SCRATCH_NEED = 3 << 30  # bytes: tree, disk, packages
_EXCLUDED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/lintian/*")
_LINE_PERCENT = (
    ("running apt-get update", 1),
    ("downloading packages", 4),
    ("extracting archives", 15),
    ("installing essential packages", 18),
    ("installing remaining packages", 25),
)
_INSTALLED_PERCENT = 70  # of the whole build, when the last package is set up


@dataclass(frozen=True, slots=True)
class RootTree:
    """A finished root tree.

    ``boot`` is the folder with the boot loader's parts. ``epoch`` is the time of the newest packaged file, in seconds.
    The tree takes ``blocks`` of 4 KiB and ``inodes``. ``packages`` are lines ``name version architecture``, sorted.
    """

    root: Path
    boot: Path
    epoch: int
    blocks: int
    inodes: int
    packages: tuple[str, ...]


def make(recipe: Recipe, scratch: Path, progress: Progress, where: Where, *, loud: bool = False) -> RootTree:
    """Make the tree below ``scratch``, an empty folder; ``loud``: every line of its programs is a note.

    :raises InputError: there is no such suite or package.
    :raises OvError: the network is down, space is short, or a program failed.
    """
    check_space(scratch)
    root, boot, stamp = scratch / "root", scratch / "boot", scratch / "stamp"
    overlay.write(recipe, scratch / "overlay")
    (scratch / "early.cfg").write_text(overlay.early_cfg(recipe), encoding="utf-8")
    for script in ("boot-loader.sh", "finish.sh"):
        text = (files(__package__) / "scripts" / script).read_text(encoding="utf-8")
        (scratch / script).write_text(text, encoding="utf-8")
    stamp.touch()
    progress.note(f"{recipe.distro} {recipe.suite}: root tree of {len(recipe.all_packages())} packages and their needs")
    try:
        inside(arguments(recipe, scratch), epoch=CONFIGURE_TIME, cwd=scratch, on_line=_Follow(progress, loud))
    except CommandError as e:
        raise diagnose(e, recipe, where) from e
    return finish(scratch, _packages(root, boot))


def finish(scratch: Path, packages: tuple[str, ...]) -> RootTree:
    """Take out of the tree what differs between builds, and measure it. ``stamp`` was made before the packages came."""
    root = scratch / "root"
    facts = inside(["sh", scratch / "finish.sh", root, scratch / "stamp"], epoch=CONFIGURE_TIME).stdout.split()
    epoch, blocks, inodes = (int(word) for word in facts)
    return RootTree(root, scratch / "boot", epoch, blocks, inodes, packages)


def arguments(recipe: Recipe, scratch: Path) -> list[str]:
    """mmdebstrap(1)'s command line. Its hooks are lines for a shell with the tree as ``$1``."""
    arch = recipe.arch
    loader = ["shim-signed", f"grub-efi-{arch.debian}-signed"]
    if arch.bios:
        loader += ["grub-common", "grub-pc-bin", "libdevmapper1.02.1"]
    bios = "yes" if arch.bios else "no"
    script = ["sh", str(scratch / "boot-loader.sh")]
    rest = [str(scratch / "boot"), str(scratch / "early.cfg"), bios, *loader]
    packages = recipe.all_packages()
    # This finds a misspelt name before the essential packages are installed, not after.
    check = f'APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get install --simulate -q {shlex.join(packages)} >/dev/null'
    return [
        "mmdebstrap",
        "--verbose",
        "--mode=root",  # the sandbox has made us root
        "--format=directory",
        f"--variant={recipe.variant}",
        f"--architectures={recipe.architecture}",
        f"--components={DISTROS[recipe.distro].components}",
        '--aptopt=APT::Install-Recommends "false"',
        '--aptopt=Acquire::Languages "none"',
        '--aptopt=Acquire::Retries "3"',
        "--dpkgopt=force-unsafe-io",
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in _EXCLUDED),
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        f"--include={','.join(packages)}",
        f'--setup-hook=cp -R {shlex.quote(str(scratch / "overlay"))}/. "$1"',
        f"--extract-hook={check}",
        f'--customize-hook={shlex.join(script)} "$1" {shlex.join(rest)}',
        recipe.suite,
        str(scratch / "root"),
    ]


class _Follow:
    """Turns the lines of mmdebstrap, apt and dpkg into progress."""

    def __init__(self, progress: Progress, loud: bool) -> None:
        self.progress = progress
        self.loud = loud
        self.percent = 0
        self.expected = 0
        self.seen = 0

    def __call__(self, line: str) -> None:
        if self.loud and line.strip():
            self.progress.note(line)
        for text, percent in _LINE_PERCENT:
            if line.startswith("I:") and text in line:
                self._reach(percent)
        if found := re.match(r"\d+ upgraded, (\d+) newly installed", line):
            self.expected, self.seen = 2 * int(found[1]), 0
        elif self.expected and line.startswith(("Unpacking ", "Setting up ")) and self.percent >= _LINE_PERCENT[-1][1]:
            self.seen += 1
            start = _LINE_PERCENT[-1][1]
            self._reach(start + (_INSTALLED_PERCENT - start) * min(self.seen, self.expected) // self.expected)

    def _reach(self, percent: int) -> None:
        if percent > self.percent:
            self.percent = percent
            self.progress.update(percent, 100, "%")


def _packages(root: Path, boot: Path) -> tuple[str, ...]:
    """The installed packages (from dpkg's status file, see deb-control(5)) and those that the boot loader came from."""
    found = {line for line in (boot / "packages").read_text(encoding="utf-8").splitlines() if line}
    for paragraph in (root / "var/lib/dpkg/status").read_text(encoding="utf-8", errors="replace").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line and line[0] != " ")
        if fields.get("Status") == "install ok installed":
            found.add(f"{fields['Package']} {fields['Version']} {fields['Architecture']}")
    return tuple(sorted(found))


def check_keys(recipe: Recipe) -> None:
    """Check that the keys of the recipe's distribution are installed.

    apt already has those of the host's own distribution. mmdebstrap reads those of another one from the files of their
    package, with gpg.

    :raises MissingProgramError: gpg is not installed. :raises OvError: the keys are not installed.
    """
    if os_release().get("ID") == recipe.distro:
        return
    require("gpg")
    if not (KEYRINGS / f"{recipe.distro}-archive-keyring.gpg").exists():
        hint = package_hint(f"{recipe.distro}-keyring")
        raise OvError(f"the keys of {recipe.distro}'s package archive are not installed here", hint=hint)


def check_space(directory: Path) -> None:
    """:raises OvError: there is too little space for a build."""
    free = shutil.disk_usage(directory).free
    if free < SCRATCH_NEED:
        raise OvError(
            f"{directory} has {free >> 20} MiB free; a bootstrap build needs about {SCRATCH_NEED >> 20} MiB",
            hint="free some space, or put the project elsewhere",
        )


def lock_of(scratch: Path) -> Path:
    """The lock file that is held while the scratch folder is in use."""
    return scratch.with_name(f"{scratch.name}.lock")


def sweep(folder: Path) -> None:
    """Remove the scratch folders below ``folder`` that killed runs of other recipes left behind."""
    for lock in sorted(folder.glob("*.lock")):
        with os.fdopen(open_own(lock), "rb+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:  # in use, by us or by another process
                continue
            remove(lock.with_suffix(""))


def remove(scratch: Path) -> None:
    """Remove the scratch folder, with the files of subordinate users and a half-made tree in it.

    It contains no mounts: they were in a namespace that ended with its processes.
    """
    if scratch.is_symlink() or not scratch.is_dir():
        discard(scratch)
        return
    if os.geteuid() == 0:
        shutil.rmtree(scratch)
    else:
        inside(["rm", "-rf", "--one-file-system", scratch], epoch=CONFIGURE_TIME)
