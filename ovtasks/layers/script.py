"""Plans → one shell script for a guest. The guest runs it as root, or as the user who logs in when there is no root.

A script is bytes: an upload that fits is part of it, whatever its encoding. What the script says is the output of
commands, and lines that begin with a token, which a command cannot guess: see :mod:`ovtasks.layers.events`.
"""

from __future__ import annotations

import base64
import hashlib
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files

from ovtasks.layers.operation import Gate, Operation, Upload
from ovtasks.layers.plan import LayerPlan

INLINE = 32 << 10
"""An upload of more bytes is not part of the script. A shell reads a script more slowly than a file comes over SSH."""
PRELUDE = ("prelude.sh", "blocks.sh", "units.sh")
"""The files with the functions that fragments may call."""
IN_IMAGE = "/run/ovtasks"
"""The base folder while an image is built."""
STAGING = "uploads"
"""The folder below the base for what is not part of the script."""


@cache
def prelude() -> str:
    """The functions that fragments may call."""
    return "\n".join(map(_shell, PRELUDE))


def apply_script(
    plans: Sequence[LayerPlan],
    token: str,
    *,
    receipts: Mapping[str, str] | None = None,
    staged: Mapping[str, str] | None = None,
    remove: Iterable[str] = (),
    base: str = "",
) -> bytes:
    """Undo the layers ``remove`` in this order, then make the guest as ``plans`` say, in their order.

    ``receipts``: one line of JSON for each layer, kept in the guest. ``staged``: where the uploads with these digests
    lie in the guest; the others are part of the script. ``base``: where the record is, if not at its usual place.
    """
    rooms = sum(1 for plan in plans for operation in plan.operations if operation.uploads)
    lines = [_head(token, base), f"ov_lock {rooms}"]
    if staged:
        lines.append(f"ov_uploads=$ov_base/{STAGING}/{token}")
    lines += [f"ov_enter {shlex.quote(name)}\nov_remove_layer" for name in remove]
    lines += ["[ $ov_bad = 0 ] || exit 1"]
    for plan in plans:
        found = [*zip(_ids(plan), plan.operations, plan.digests, strict=True)]
        ids = " ".join(f"{id}={digest}" for id, _, digest in found)
        lines += [f"ov_enter {shlex.quote(plan.name)}", f"ov_prepare {ids}"]
        lines += [_operation(id, operation, digest, staged or {}) for id, operation, digest in found]
        lines.append(f"ov_finish {shlex.quote((receipts or {}).get(plan.name, '{}'))}")
    lines.append("ov_flush || exit 1")
    return _bytes(lines)


def undo_script(layers: Sequence[str], token: str, *, keep: Iterable[Gate] = (), base: str = "") -> bytes:
    """Undo whole layers in this order, from what the guest's record has. Operations of the gates ``keep`` stay."""
    gates = " ".join(sorted(keep))
    lines = [f"ov_enter {shlex.quote(name)}\nov_remove_layer {gates}" for name in layers]
    return _bytes([_head(token, base), "ov_lock", *lines, "exit $ov_bad"])


def look_script(layers: Sequence[str], token: str, *, base: str = "") -> bytes:
    """Look at each operation in the record of these layers."""
    lines = [f"ov_enter {shlex.quote(name)}\nov_drift" for name in layers]
    return _bytes([_head(token, base), "ov_lock", *lines])


def forget_script(layers: Sequence[str], token: str, *, base: str = "") -> bytes:
    """Drop the record of these layers; what they did stays, and nothing can undo it any more."""
    lines = [f"ov_enter {shlex.quote(name)}\nov_forget" for name in layers]
    return _bytes([_head(token, base), "ov_lock", *lines])


def installed_script(token: str, *, base: str = "") -> bytes:
    """What the guest's record says."""
    return _bytes([_head(token, base), "ov_installed"])


def stage_script(token: str, *, base: str = "") -> bytes:
    """Make the folder for uploads that are not part of the script; say where it is."""
    return _bytes([_head(token, base), f"ov_stage {STAGING}"])


def image_script(plan: LayerPlan, token: str, staged: Mapping[str, str]) -> bytes:
    """Do the operations of ``plan`` while an image is built. Nothing is looked at or kept: the image is made anew."""
    lines = [_head(token, IN_IMAGE), "ov_start_in_image", f"ov_layer={shlex.quote(plan.name)}"]
    for operation in plan.operations:
        values = {
            "ov_name": operation.name.replace("\n", " "),
            "ov_user": operation.user,
            "OV_SUMS": _sums(operation),
            "ov_do": operation.in_image or operation.do,
        }
        lines += [f"{name}={shlex.quote(value)}" for name, value in values.items()]
        lines += [_bring(operation.uploads, staged), "ov_in_image"]
    return _bytes(lines)


def to_stage(plans: Iterable[LayerPlan]) -> dict[str, Upload]:
    """Uploads that do not go into the script, by their digest."""
    found = (upload for plan in plans for operation in plan.operations for upload in operation.uploads)
    return {upload.digest: upload for upload in found if _size(upload) > INLINE}


def _head(token: str, base: str) -> str:
    text = prelude()
    known = hashlib.sha256(text.encode()).hexdigest()[:16]
    return "\n".join(
        (
            f"ov_prelude={shlex.quote(text)}",
            'eval "$ov_prelude"',
            f"ov_prelude_digest={known}",
            f"ov_token={token}",
            _shell("driver.sh"),
            f"ov_begin {shlex.quote(base)}",
        )
    )


def _ids(plan: LayerPlan) -> Iterator[str]:
    """The names of the operations' folders in the record: they sort as the operations come."""
    width = max(3, len(str(len(plan.operations))))
    for number, operation in enumerate(plan.operations, 1):
        slug = re.sub(r"[^a-z0-9]+", "-", operation.name.lower()).strip("-")[:40].strip("-") or operation.kind
        yield f"{number:0{width}}-{slug}"


def _operation(id: str, operation: Operation, digest: str, staged: Mapping[str, str]) -> str:
    values = {
        "ov_id": id,
        "ov_name": operation.name.replace("\n", " "),
        "ov_kind": operation.kind,
        "ov_user": operation.user,
        "ov_gate": operation.gate or "",
        "ov_digest": digest,
        "OV_SUMS": _sums(operation),
        "ov_caveat": operation.caveat.replace("\n", " "),
        "ov_makes": operation.makes,
        "ov_look": operation.look,
        "ov_save": operation.save,
        "ov_do": operation.do,
        "ov_undo": operation.undo,
    }
    lines = [f"{name}={shlex.quote(value)}" for name, value in values.items()]
    return "\n".join((*lines, _bring(operation.uploads, staged), "ov_operation"))


def _sums(operation: Operation) -> str:
    """The operation's uploads as OV_SUMS has them."""
    return "\n".join(f"{upload.digest.removeprefix('sha256:')} {upload.name}" for upload in operation.uploads)


def _bring(uploads: Sequence[Upload], staged: Mapping[str, str]) -> str:
    """The function that puts an operation's uploads into FILES. Its status is that of the first step that fails."""
    lines = []
    folders = {upload.name.rpartition("/")[0] for upload in uploads if "/" in upload.name}
    lines += [f'mkdir -p -- "$FILES"/{shlex.quote(folder)} || return' for folder in sorted(folders)]
    for upload in uploads:
        place = f'"$FILES"/{shlex.quote(upload.name)}'
        if upload.digest in staged:
            source = shlex.quote(staged[upload.digest])
            lines.append(f"ln -f -- {source} {place} 2>/dev/null || cp -- {source} {place} || return")
        else:
            lines.append(_write(_content(upload), place, keep=len(uploads) == 1))
        if upload.mode & 0o111:  # else the folder keeps others out
            lines.append(f"chmod {upload.mode:04o} -- {place} || return")
    body = "\n".join(lines or [":"])
    return f"ov_bring() {{\n{body}\n}}"


def _write(content: bytes, place: str, *, keep: bool) -> str:
    """A command that writes these bytes, or returns. ``keep``: a text stays at hand, for ``ov_pour``."""
    if b"\0" in content:
        return f"base64 -d >{place} <<'_END_' || return\n{base64.encodebytes(content).decode()}_END_"
    text = shlex.quote(content.decode(errors="surrogateescape"))
    if keep:
        return f'ov_content={text} ov_content_at={place}\nprintf %s "$ov_content" >{place} || return'
    return f"printf %s {text} >{place} || return"


def _content(upload: Upload) -> bytes:
    return upload.content if isinstance(upload.content, bytes) else upload.content.read_bytes()


def _size(upload: Upload) -> int:
    return len(upload.content) if isinstance(upload.content, bytes) else upload.content.stat().st_size


def _bytes(lines: Iterable[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode(errors="surrogateescape")


def _shell(name: str) -> str:
    return (files("ovtasks.layers") / name).read_text(encoding="utf-8")
