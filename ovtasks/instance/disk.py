"""An instance's own disk: an overlay on the built artifact. The instance's folder has hard links to the artifact.

A rebuild writes new files, so the links keep the old ones alive, whatever becomes of ``output/`` and the cache.
"""

from __future__ import annotations

import filecmp
import json
import os
import shutil
from pathlib import Path

from ovtasks.errors import InputError, OvError, RefusedError
from ovtasks.host.files import fsync_directory, link_or_copy, part_name
from ovtasks.host.patience import waiting_for
from ovtasks.host.run import run
from ovtasks.instance.folder import Folder
from ovtasks.instance.overlays import forget_states
from ovtasks.instance.snapshot_list import snapshots_of
from ovtasks.values.jsonvalue import Json, need
from ovtasks.values.sizes import format_size


def make_disk(folder: Folder, artifact: Path, size: int | None = None) -> None:
    """Make ``folder.disk`` as an overlay on a link to ``artifact`` (qcow2 or raw). Nothing of an earlier disk is kept.

    ``size`` is the disk's in bytes; None: the artifact's. The disk gets its name last. So a run that is killed leaves
    no disk, and the next one starts again.

    :raises OvError: the artifact is missing, its backing file lies outside the VM's folder, or it is larger than
        ``size``.
    :raises RefusedError: there are snapshots of an earlier disk.
    """
    if not artifact.is_file():
        raise OvError(f"the built disk {artifact} is missing", hint="ov vm build makes it")
    if snapshots := snapshots_of(folder):
        names = ", ".join(one.name for one in snapshots)
        hint = "`ov vm snapshot revert` makes its disk again, `ov vm destroy --disk` removes all of it"
        raise RefusedError(
            f"the disk of {folder.path.name} is missing, but its snapshots are there: {names}", hint=hint
        )
    forget_states(folder)
    if folder.built.exists():
        shutil.rmtree(folder.built)
    for half in (*folder.path.glob(part_name("base-*")), *folder.path.glob("base-*")):  # left by an earlier disk
        half.unlink()
    if size is not None and (least := need(_info(artifact)["virtual-size"], int)) > size:
        hint = f"at least {format_size(least)}, or a smaller disk_size of the VM"
        raise InputError(f"disk_size {format_size(size)} is smaller than the built disk", hint=hint)
    built, format = link_artifact(folder, artifact)
    part = folder.disk.with_name(part_name(folder.disk.name))
    words = ["-q", "-f", "qcow2", "-F", format, "-b", os.path.relpath(built, folder.path), part.name]
    words += [] if size is None else [str(size)]
    run(["qemu-img", "create", *words], cwd=folder.path)
    part.chmod(0o600)
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(folder.disk)
    fsync_directory(folder.path)


def link_artifact(folder: Folder, artifact: Path) -> tuple[Path, str]:
    """Link ``artifact`` and its backing file below ``folder``; returns the link and its format. Existing links stay.

    :raises OvError: the backing file lies outside the VM's folder.
    """
    if folder.built.is_symlink() or folder.built.is_file():
        folder.built.unlink()
    folder.built.mkdir(exist_ok=True)
    format, backing = _look(artifact)
    if backing is not None:
        _link_backing(folder, artifact, backing)
    built = folder.built / artifact.name
    if not built.exists():
        built.unlink(missing_ok=True)
        with waiting_for(f"a copy of {artifact}"):
            link_or_copy(artifact, built)
    return built, format


def _look(artifact: Path) -> tuple[str, str | None]:
    """The image's format, and the name of its backing file as the image has it."""
    info = _info(artifact)
    backing = info.get("backing-filename")
    return str(info["format"]), str(backing) if backing is not None else None


def _info(artifact: Path) -> dict[str, Json]:
    found: dict[str, Json] = json.loads(run(["qemu-img", "info", "-U", "--output=json", artifact]).stdout)
    return found


def _link_backing(folder: Folder, artifact: Path, backing: str) -> None:
    """Link the artifact's backing file to the same relative place below ``folder``."""
    source = artifact.parent / backing
    place = Path(os.path.normpath(folder.built / backing))
    if Path(backing).is_absolute() or folder.path not in place.parents:
        hint = "a disk that is built stands alone, or on a file in output/<vm>/"
        raise OvError(f"{artifact} stands on {backing}, outside its VM's folder", hint=hint)
    if not (place.exists() and place.samefile(source)):
        place.unlink(missing_ok=True)
        with waiting_for(f"a copy of {source}"):
            link_or_copy(source, place)


def stands_on(folder: Folder, artifact: Path) -> bool:
    """Whether the disk was made from ``artifact``: the folder has a link to it, or a copy with the same bytes."""
    held = folder.built / artifact.name
    try:
        if held.samefile(artifact):
            return True
        return held.stat().st_size == artifact.stat().st_size and filecmp.cmp(held, artifact, shallow=False)
    except OSError:
        return False


def lost_base(folder: Folder) -> Path | None:
    """The first missing file of those that the disk needs below it; None if all are there."""
    bases = [*folder.built.glob("disk.*")] if folder.built.is_dir() else []
    if not bases:
        return folder.built / "disk.qcow2"
    for base in bases:
        with base.open("rb") as file:
            is_qcow2 = file.read(4) == b"QFI\xfb"
        if is_qcow2 and (backing := _look(base)[1]) and not (base.parent / backing).exists():
            return Path(os.path.normpath(base.parent / backing))
    return None


def check_disk(folder: Folder, words: str) -> None:
    """Check that the disk and the files below it are there.

    :raises OvError: a file is missing.
    """
    if not folder.disk.is_file():
        hint = f"`ov vm create {words}` makes a fresh disk"
        raise OvError(f"the disk of {words} is missing: {folder.disk}", hint=hint)
    if (gone := lost_base(folder)) is not None:
        hint = (
            f"`ov vm create {words}` links it again, if it is still what was built; else `ov vm destroy --disk {words}`"
        )
        raise OvError(f"the disk of {words} stands on {gone}, which is missing", hint=hint)
