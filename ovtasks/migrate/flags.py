"""``disposable`` and ``lifecycle`` of a VM move to the VM's deployment: they are properties of what was made of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ovtasks.migrate.append import append_entry
from ovtasks.migrate.edit import Edits, Pair
from ovtasks.migrate.files import Texts
from ovtasks.migrate.tree import YamlNode, entries, nodes
from ovtasks.migrate.verify import verified, without
from ovtasks.project.deploy_model import SUFFIX
from ovtasks.project.places import DEPLOY_FILE, LAYER_FILE

FLAGS = ("disposable", "lifecycle")
HEADER = "# Made by ov migrate deploy-schema-v-3 of what VMs said about their deployments.\nversion: 3"


def move_flags(texts: Texts) -> None:
    """Take the flags out of the VMs, and write them into the entries of ``deploy:`` for these VMs.

    :raises InputError: an entry says something else, or has another VM.
    """
    for path in [*texts.now]:
        if path.name == LAYER_FILE:
            continue
        edits = Edits(path, texts.now[path])
        found: list[tuple[str, list[Pair]]] = []
        for key, value in _section(edits, "vms", "vm"):
            flags = [pair for pair in value.pairs if pair[0].value in FLAGS]
            if flags:
                found.append((key.value, flags))
                edits.remove(value, flags)
        taken = partial(without, sections=("vms", "vm"), keys=dict.fromkeys((vm for vm, _ in found), FLAGS))
        texts.now[path] = verified(path, edits.text, edits.done(), taken)
        for vm, flags in found:
            _write(texts, vm, flags, edits)


def _section(edits: Edits, *names: str) -> Iterator[Pair]:
    for root in nodes(edits.text):
        for name in names:
            yield from entries(root.get(name))


def _write(texts: Texts, vm: str, flags: list[Pair], source: Edits) -> None:
    for path in [*texts.now]:
        edits = Edits(path, texts.now[path])
        for key, value in _section(edits, "deploy"):
            entry = value.target or value
            named = entry.get("vm")
            own = named[1].value if named else key.value.removesuffix(SUFFIX)
            if path.name == LAYER_FILE or entry.get("target") is None or own != vm or "/" in key.value:
                if key.value == f"{vm}{SUFFIX}":
                    raise edits.error(key, f"'{key.value}' would be the deployment of '{vm}'", "rename this one")
                continue
            lines = []
            for flag, written in flags:
                if (other := entry.get(flag.value)) is None:
                    lines.append(f"{flag.value}: {_one_line(source, written)}")
                elif other[1].value != written.value:
                    hint = f"deployment '{key.value}' says otherwise at {edits.where(other[0])}; keep one of the two"
                    raise source.error(flag, f"VM '{vm}' has {flag.value}: {written.value}", hint)
            if value.target is not None and lines:
                raise edits.error(value, f"'{key.value}' repeats another entry", f"write it out, with {lines[0]}")
            edits.insert(entry, lines)
            texts.now[path] = edits.done()
            return
    lines = [f"{vm}{SUFFIX}:", "  target: vm", f"  vm: {vm}"]
    lines += [f"  {flag.value}: {_one_line(source, written)}" for flag, written in flags]
    append_entry(texts, _deploy_file(texts), "deploy", lines, HEADER)


def _one_line(source: Edits, written: YamlNode) -> str:
    """A value as it is written, or as a quoted text if it takes several lines or has an anchor."""
    text = source.text[written.start : written.end]
    if "\n" not in text and text[:1] not in "|>&*":
        return text
    return written.value if written.value in {"true", "false"} else json.dumps(written.value, ensure_ascii=False)


def _deploy_file(texts: Texts) -> Path:
    """Where deployments stand: the file that has some, else a new deploy.yml."""
    for path in texts.now:
        if path.name != LAYER_FILE and any(root.get("deploy") for root in nodes(texts.now[path])):
            return path
    return texts.root / DEPLOY_FILE
