"""cloud-init's own code as a judge of what we render: one helper process for all documents of a session."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType

from ovtasks.host.run import require
from tests.support.processes import talk

# Reads one JSON string (user-data) a line, answers with the list of its faults. Runs under cloud-init's interpreter.
_JUDGE = """\
import json, sys, yaml
from cloudinit.config.schema import SchemaValidationError, get_schema, validate_cloudconfig_schema
from cloudinit.distros import ug_util
schema = get_schema()
for line in sys.stdin:
    text = json.loads(line)
    faults = []
    if not text.startswith("#cloud-config\\n"):
        faults.append("no #cloud-config")
    try:
        validate_cloudconfig_schema(yaml.safe_load(text), schema, strict=True, log_details=False)
    except SchemaValidationError as e:
        faults.append(str(e))
    print(json.dumps(faults), flush=True)
"""


class Judge:
    """A context manager; ``faults(user_data)`` is empty for a document that cloud-init accepts."""

    def __enter__(self) -> Judge:
        interpreter = require("cloud-init").read_text(encoding="utf-8").splitlines()[0].removeprefix("#!").split()
        self._process = talk(*interpreter, "-c", _JUDGE)
        return self

    def faults(self, user_data: bytes) -> list[str]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(user_data.decode()) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "cloud-init's interpreter died: see its message above"
        faults: list[str] = json.loads(answer)
        return faults

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self._process.communicate()


def schema_command(user_data: bytes, folder: Path) -> list[str]:
    """The command line that a user would check the document with."""
    file = folder / "user-data"
    file.write_bytes(user_data)
    return ["cloud-init", "schema", "--config-file", str(file), "--annotate"]
