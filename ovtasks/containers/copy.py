"""An image goes from one podman's storage into another's, as an OCI archive, and stays the same image.

podman's default form for ``save`` is docker's, in which an OCI image gets another manifest: composefs does not take it.
An image that *has* docker's manifest keeps it, and so its ID. Both podmans keep their temporary files in a folder of
ours, so that nothing of a killed copy stays elsewhere; the receiving one ends when the sending one does.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from ovtasks.containers.diagnosis import diagnose
from ovtasks.containers.engine import Engine, Mode
from ovtasks.errors import OvError
from ovtasks.host.files import write_atomic
from ovtasks.host.run import CommandError, run, transfer
from ovtasks.host.state import try_load_state
from ovtasks.values.jsonvalue import state_text

PREFIX = "copy-"
"""Of the folders' names, among those of pulls and builds."""
OCI = "application/vnd.oci."
TEMPORARY = "tmp"
"""Relative to the folder: podman unpacks nothing below a name with a colon, which the whole path may have."""
SECONDS = 120.0


def copy_image(source: Engine, target: Engine, image: str, folder: Path) -> None:
    """Copy ``image`` from the storage of ``source`` into that of ``target``; ``folder`` is made for what is temporary.

    :raises OvError: it cannot be copied.
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
    """The archive in which the image stays what it is."""
    said = source.run("image", "inspect", "--format", "{{.ManifestType}}", image, check=False, timeout=SECONDS)
    kind = said.stdout.strip()
    return "oci-archive" if kind.startswith(OCI) or not kind else "docker-archive"


def _words(target: Engine) -> tuple[str, ...]:
    """sudo hands no variable on that it is not told to; where it may not be told, root's temporary files are its own
    affair."""
    if target.mode is not Mode.SUDO or target.root is None:
        return target.words
    place = (*target.root, f"TMPDIR={TEMPORARY}")
    if run([*place, "true"], check=False, timeout=SECONDS).returncode != 0:
        return target.words
    return (*place, *target.words[len(target.root) :])


def clear(folder: Path) -> None:
    """Remove what a copy left; root's files in it, too.

    :raises OvError: it cannot be removed.
    """
    if not folder.exists():
        return
    words = (try_load_state(folder / "engine.json", private=True) or {}).get("root")  # they are run
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        root = [str(word) for word in words] if isinstance(words, list) else []
        done = run([*root, "rm", "-rf", "--one-file-system", str(folder)], check=False, timeout=SECONDS)
        if done.returncode != 0:
            raise OvError(f"{folder} of a killed copy cannot be removed", hint=f"as root: rm -rf {folder}")
