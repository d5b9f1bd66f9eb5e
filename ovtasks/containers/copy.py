"""Copies an image from one podman's storage into another's, as an OCI archive. It stays the same image.

By default ``podman save`` writes docker's format, which gives an OCI image another manifest that composefs rejects. An
image that has docker's manifest keeps it, and so keeps its ID. Both podmans put their temporary files into a folder of
ours, so that a killed copy leaves nothing elsewhere. The receiving podman ends when the sending one does.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from ovtasks.containers.diagnosis import diagnose
from ovtasks.containers.engine import Engine, Mode
from ovtasks.errors import OvError
from ovtasks.host.files import write_atomic
from ovtasks.host.run import CommandError, run
from ovtasks.host.state import try_load_state
from ovtasks.host.transfer import transfer
from ovtasks.values.jsonvalue import state_text

PREFIX = "copy-"
"""The beginning of such a folder's name, among those of pulls and builds."""
OCI = "application/vnd.oci."
TEMPORARY = "tmp"
"""Relative to the folder: podman cannot unpack below a path with a colon, which the absolute path may have."""
SECONDS = 120.0


def copy_image(source: Engine, target: Engine, image: str, folder: Path) -> None:
    """Copy ``image`` from the storage of ``source`` into that of ``target``, with temporary files in ``folder``.

    :raises OvError: the copy failed.
    """
    clear(folder)
    (folder / TEMPORARY).mkdir(parents=True)
    write_atomic(folder / "engine.json", state_text({"root": list(target.root or ())}), mode=0o600)
    save = source.argv("save", "--quiet", "--format", _form(source, image), image)
    load = [*_words(target), "load", "--quiet"]
    try:
        transfer(save, load, env=source.environment(TEMPORARY), cwd=folder)
    except CommandError as e:
        raise diagnose(e, f"{image} cannot be copied into the storage of {target.command}") from e
    finally:
        clear(folder)


def _form(source: Engine, image: str) -> str:
    """The archive format in which the image keeps its ID."""
    said = source.run("image", "inspect", "--format", "{{.ManifestType}}", image, check=False, timeout=SECONDS)
    kind = said.stdout.strip()
    return "oci-archive" if kind.startswith(OCI) or not kind else "docker-archive"


def _words(target: Engine) -> tuple[str, ...]:
    """Words that pass the folder for temporary files through sudo, which drops variables.

    If sudo may not be told to keep it, root's temporary files stay where root puts them.
    """
    if target.mode is not Mode.SUDO or target.root is None:
        return target.words
    place = (*target.root, f"TMPDIR={TEMPORARY}")
    if run([*place, "true"], check=False, timeout=SECONDS).returncode != 0:
        return target.words
    return (*place, *target.words[len(target.root) :])


def clear(folder: Path) -> None:
    """Remove what a copy left, including files of root.

    :raises OvError: something cannot be removed.
    """
    if not folder.exists():
        return
    # private, because these words are run as a command
    words = (try_load_state(folder / "engine.json", private=True) or {}).get("root")
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        root = [str(word) for word in words] if isinstance(words, list) else []
        done = run([*root, "rm", "-rf", "--one-file-system", str(folder)], check=False, timeout=SECONDS)
        if done.returncode != 0:
            raise OvError(f"{folder} of a killed copy cannot be removed", hint=f"as root: rm -rf {folder}")
