"""Which fields of an image decide what."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from tests.containers.podman import Podman
from tests.containers.test_steps import BOOTC, a_base, declare, steps, write
from tests.support.workbench import Workbench

pytestmark = pytest.mark.slow  # podman is started many times

FIELDS: list[tuple[dict[str, Any], list[str]]] = [
    ({}, []),
    ({"pull": "never"}, ["base"]),  # its image comes out the same
    ({"tls_verify": False}, ["base"]),
    ({"build_args": {"V": "2"}}, ["image"]),
    ({"target": "first"}, ["image"]),
    ({"bootc": True}, ["image"]),
    ({"bootc": False}, []),
    ({"containerfile": "files/Other"}, ["image"]),
    ({"containerfile": "files/Same"}, []),
    ({"context": "copy"}, []),  # the same files elsewhere
]


def test_each_field_runs_what_it_decides(bench: Workbench, podman: Podman) -> None:
    """One field of image ``x`` after another is changed and changed back."""
    a_base(podman, "1")
    first = {"context": "files", "build_args": {"V": "1"}}
    text = f"FROM localhost/base AS first\n{BOOTC}FROM first\nARG V\nCOPY a /\nLABEL v=$V\n"
    for name in ("Containerfile", "Same"):
        write(bench, f"files/{name}", text)
    write(bench, "files/Other", f"{text}LABEL other=1\n")
    write(bench, "files/a", "1")
    shutil.copytree(bench.root / "files", bench.root / "copy")
    declare(bench, x=first)
    assert steps(bench, "build") == ["base", "image"]
    for fields, expected in FIELDS:
        declare(bench, x={**first, **fields})
        assert steps(bench, "build") == expected, fields
        declare(bench, x=first)
        back = [verb for verb in expected if verb == "image"]  # the record of the other base is still good
        assert steps(bench, "build") == back, fields
