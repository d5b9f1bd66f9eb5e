"""A project whose VMs run for real, by QEMU without KVM, on an empty disk: the firmware finds nothing to boot."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.workbench import DODO, EMULATED, Workbench, make_image, new_bench


@pytest.fixture(scope="session")
def empty_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 16 MiB qcow2 image without a boot loader."""
    path = tmp_path_factory.mktemp("images") / "empty.qcow2"
    make_image(path)
    return path


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Workbench]:
    """An empty project; whatever runs in it at the end is ended."""
    bench = new_bench(tmp_path / "p", EMULATED, dodo=DODO)
    yield bench
    bench.settle()  # a `create` under way would start its QEMU after we have looked
    for vm in json.loads(bench.ov("vm", "list", "-a", "--json", code=None).stdout or "[]"):
        if vm["pid"]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(vm["pid"], signal.SIGKILL)
