"""Decides whether a step is fresh, and if not, why: key by key."""

from __future__ import annotations

import contextlib
import hmac
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import zip_longest

from ovtasks.graph import receipt_tag
from ovtasks.graph.content import digest_of, has_digest
from ovtasks.graph.receipt import Output, Receipt
from ovtasks.graph.step import Step, Workspace
from ovtasks.host.progress import Progress
from ovtasks.values.hidden import SHOWN, hides, redact, reveal_all, seal_all
from ovtasks.values.jsonvalue import Json, canonical

WRITABLE = 0o222
DISKS = {".qcow2", ".raw"}


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a step would run. ``key`` names an input, a needed step or a target, or is empty."""

    text: str
    key: str = ""
    old: Json = None
    new: Json = None

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Freshness:
    """The result of a check. No reasons means fresh. ``receipt`` is the last good one, even of a stale result."""

    reasons: tuple[Reason, ...]
    receipt: Receipt | None

    @property
    def fresh(self) -> bool:
        """Whether there is no reason to run the step."""
        return not self.reasons


def check(
    step: Step, needs: Mapping[str, str | None], *, heal: bool = False, progress: Progress | None = None
) -> Freshness:
    """Compare ``step`` with its receipt and the files it made.

    ``needs`` maps the verb of each needed step to its current output digest (None: not built). A target with other
    times but the same content (a copy, a restored cache, ``touch``) counts as unchanged. With ``heal`` the receipt
    takes its new times, so that it is read only once, and permissions that a copy added are removed. If the step runs
    anyway, nothing is read. Reading is reported to ``progress``.
    """
    receipt = Receipt.load(step.receipt)
    if receipt is None:
        return _without_receipt(step)
    reasons = [Reason(step.refresh)] if step.refresh else []
    reasons += [_labelled(reason, step) for reason in _inputs_diff(receipt, step)]
    if [o.path for o in receipt.outputs][: len(step.targets)] != list(step.targets):
        reasons.append(Reason("its files have other names now"))
    seen: list[Output] = []
    runs_anyway = bool(reasons)
    reasons += _needs_diff(receipt.needs, needs, step.labels)
    for output in receipt.outputs:
        found, reason = _look(output, runs_anyway, progress)
        seen.append(found)
        if reason:
            reasons.append(reason)
    if heal and not reasons:
        healed = replace(receipt, outputs=tuple(_settled(output) for output in seen))
        if receipt.salt is None or (receipt.salt and not _has_known_tag(receipt, step)):
            healed = healed.sealed(step.inputs)
        # Nobody runs the step now (reading may have taken long). The marker may be of a run killed at its very end.
        if (healed != receipt or step.marker.exists()) and Receipt.load(step.receipt) == receipt:
            if healed != receipt:
                healed.save(step.receipt)
            step.marker.unlink(missing_ok=True)
        receipt = healed
    return Freshness(tuple(reasons), receipt)


def _without_receipt(step: Step) -> Freshness:
    old = Receipt.load(step.marker)
    if step.marker.exists() or any(Workspace.part(target).exists() for target in step.targets):
        return Freshness((Reason("interrupted"),), old)
    if any(os.path.lexists(target) for target in step.targets):
        return Freshness((Reason("no receipt: not known how it was made"),), None)
    return Freshness((Reason("never built"),), None)


def same_outputs(receipt: Receipt) -> bool:
    """Whether every file that the step made is unchanged."""
    return not any(_look(output, False, None)[1] for output in receipt.outputs)


def _look(output: Output, unread: bool, progress: Progress | None) -> tuple[Output, Reason | None]:
    """A reason to run, if the file changed; and the file's current state, if it is as good as the recorded one.

    With ``unread`` the file is not read, and no reason is given that would need reading.
    """
    name = output.path.name
    try:
        now = output.path.lstat()
    except OSError:
        return output, Reason(f"target missing: {name}", key=name)
    if not stat.S_ISREG(now.st_mode):
        return output, Reason(f"target replaced by hand: {name} is not a file", key=name)
    if output.same_stat(now):
        return output, None
    if now.st_size == output.size and unread:
        return output, None
    if now.st_size == output.size and _same_content(output, progress):
        return replace(output, mtime_ns=now.st_mtime_ns, inode=now.st_ino), None
    return output, Reason(f"target changed by hand: {name}", key=name)


def _same_content(output: Output, progress: Progress | None) -> bool:
    try:
        return output.content is not None and has_digest(output.path, output.content, progress)
    except OSError:
        return False


def _settled(output: Output) -> Output:
    """Complete the record of an unchanged file (format 1 lacks fields), and remove permissions that were added.

    One command could change every VM that stands on a writable disk, and a readable seed gives its secrets away.
    """
    now = stat.S_IMODE(output.path.stat().st_mode)
    allowed = output.mode
    if allowed is None:
        allowed = now & ~WRITABLE if output.path.suffix in DISKS else now
    if now & ~allowed:
        with contextlib.suppress(PermissionError):  # it is another user's file
            output.path.chmod(now & allowed)
    return replace(output, mode=allowed, content=output.content or digest_of(output.path))


def _has_known_tag(receipt: Receipt, step: Step) -> bool:
    return receipt.tag != "" and hmac.compare_digest(receipt.tag, receipt_tag.tag(step.name, step.inputs))


def _inputs_diff(receipt: Receipt, step: Step) -> list[Reason]:
    if receipt.salt is None:  # format 1 does not mark secrets
        found = diff(receipt.inputs, reveal_all(step.inputs))
        return [reason if _is_number(reason) else Reason(f"{reason.key}: changed", reason.key) for reason in found]
    if receipt.salt and _has_known_tag(receipt, step):
        return []
    return diff(receipt.inputs, seal_all(step.inputs, receipt.salt))


def _labelled(reason: Reason, step: Step) -> Reason:
    label = step.labels.get(reason.key)
    return reason if label is None else replace(reason, text=label + reason.text.removeprefix(reason.key))


def _is_number(reason: Reason) -> bool:
    """Whether the reason is about a plain field such as ``disk_size``, which is never secret."""
    return "." not in reason.key and all(isinstance(value, int | None) for value in (reason.old, reason.new))


def diff(old: Mapping[str, Json], new: Mapping[str, Json], prefix: str = "") -> list[Reason]:
    """The keys that differ. A nested key has its path: ``cloud_init.packages: [a] → [a, b]``."""
    reasons: list[Reason] = []
    for key in sorted(old.keys() | new.keys()):
        reasons += _differ(f"{prefix}{key}", key, old.get(key), new.get(key))
    return reasons


def _differ(path: str, key: str, before: Json, after: Json) -> list[Reason]:
    """The reasons for one value. Of digests of secrets they say only that they differ."""
    if canonical(before) == canonical(after):
        return []
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        return diff(before, after, f"{path}.")
    if not (hides(before) or hides(after)):
        return [Reason(f"{path}: {show(before, key)} → {show(after, key)}", path, before, after)]
    if isinstance(before, list) and isinstance(after, list):
        pairs = enumerate(zip_longest(before, after))
        return [reason for number, pair in pairs for reason in _differ(f"{path}[{number}]", key, *pair)]
    before, after = redact(before), redact(after)
    if canonical(before) == canonical(after):
        return [Reason(f"{path}: changed {SHOWN}", path, before, after)]
    return [Reason(f"{path}: {show(before, key)} → {show(after, key)}", path, before, after)]


def _needs_diff(old: Mapping[str, str], new: Mapping[str, str | None], labels: Mapping[str, str]) -> list[Reason]:
    return [
        Reason(f"{labels.get(verb, verb)} {short(old.get(verb))} → {short(new.get(verb))}", verb, old.get(verb), digest)
        for verb, digest in sorted({**dict.fromkeys(old), **new}.items())
        if old.get(verb) != digest
    ]


def short(digest: str | None) -> str:
    """``sha256:ab12…`` for people."""
    if digest is None:
        return "none"
    kind, _, hexadecimal = digest.partition(":")
    return f"{kind}:{hexadecimal[:12]}…" if len(hexadecimal) > 12 else digest


def show(value: Json, key: str = "") -> str:
    """An input value for people: sizes as sizes, long text cut."""
    if value is None:
        return "none"
    if isinstance(value, int) and not isinstance(value, bool) and ("size" in key or key in {"ram"}):
        from ovtasks.values.sizes import format_size

        return format_size(value)
    text = value if isinstance(value, str) else canonical(value)
    return text if len(text) <= 60 else text[:57] + "…"
