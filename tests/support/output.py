"""What a verb prints with ``--json``, compared with its schema."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from ovtasks.project.schema import schema_text


@cache
def definitions() -> dict[str, Any]:
    """The definitions of ``output.schema.json``: those of verbs, called ``ov …``, and those that they share."""
    found: dict[str, Any] = json.loads(schema_text("output"))["$defs"]
    return found


@cache
def _validator(verb: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"#/$defs/{verb}", "$defs": definitions()})


def checked(verb: str, text: str) -> Any:
    """The JSON in ``text``, which is as the schema of ``verb`` (``ov vm list``) says."""
    data = json.loads(text)
    wrong = [f"{error.json_path}: {error.message}" for error in _validator(verb).iter_errors(data)]
    assert not wrong, (verb, wrong, text)
    return data
