"""Which files a migration looks at: those of the project, as text."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ovtasks.errors import InputError, Where
from ovtasks.host.state import read_input
from ovtasks.project.places import DEPLOY_FILE, IMAGE_FILES, LAYER_FILE, ROOT_FILES, display
from ovtasks.values.diagnosis import decoded
from ovtasks.values.yamlio import MAX_BYTES, parse_yaml

BOM = codecs.BOM_UTF8


@dataclass
class Texts:
    """The project's files: ``now`` as they are to be, ``before`` as they were (bytes)."""

    root: Path
    before: Mapping[Path, bytes]
    now: dict[Path, str] = field(default_factory=dict)

    def changed(self) -> dict[Path, bytes]:
        """The files that differ now, and those that are new."""
        found: dict[Path, bytes] = {}
        for path, text in self.now.items():
            old = self.before.get(path, b"")
            new = (BOM if old.startswith(BOM) else b"") + text.encode()
            if new != old:
                found[path] = new
        return found


def read_texts(root: Path) -> Texts:
    """The files of the project in ``root``, and what they include below it. All of them are valid YAML.

    :raises InputError: one is not readable, or no YAML that ov reads.
    """
    names = (*ROOT_FILES, *IMAGE_FILES, DEPLOY_FILE)
    queue = [root / name for name in names]
    queue += sorted((root / "layers").glob(f"*/{LAYER_FILE}")) if (root / "layers").is_dir() else []
    texts = Texts(root, before := {})
    seen: set[Path] = set()
    for path in queue:
        if not path.is_file() or path.resolve() in seen:
            continue
        seen.add(path.resolve())
        try:
            before[path] = read_input(path, MAX_BYTES)
        except OSError as e:
            raise InputError(f"cannot read the file: {e.strerror}", where=Where(display(path))) from None
        text = decoded(before[path], display(path))
        texts.now[path] = text
        for document in parse_yaml(text.encode(), display(path)):
            queue += _included(root, path, document.data)
    return texts


def _included(root: Path, path: Path, data: object) -> list[Path]:
    found: list[Path] = []
    for key in ("includes", "include") if isinstance(data, dict) and path.name != LAYER_FILE else ():
        value = data.get(key) if isinstance(data, dict) else None
        for pattern in [value] if isinstance(value, str) else value if isinstance(value, list) else []:
            if not isinstance(pattern, str) or Path(pattern).is_absolute() or not pattern:
                continue
            for one in sorted(path.parent.glob(pattern)):
                if one.resolve().is_relative_to(root.resolve()) and one.suffix in {".yml", ".yaml"}:
                    found.append(one)
    return found
