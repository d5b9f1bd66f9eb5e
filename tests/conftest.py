"""What all tests share: directories of their own instead of the user's, and who runs where under xdist."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import leftovers, rights, services
from tests.support.bytecode import Bytecode
from tests.support.ending import Ending
from tests.support.garbage import Garbage
from tests.support.rights import Rights
from tests.support.services import Services

BOOTS = Path(__file__).parent / "boot"
LONGEST = ("boot", "boot-layers", "bridge", "systemd", "libvirt")
"""Groups of tests that take minutes, in the order in which they begin. Each stays on one worker; two boot guests, since
an emulated guest uses one core."""
XDG = {"XDG_CACHE_HOME": "cache", "XDG_DATA_HOME": "data", "XDG_CONFIG_HOME": "config"}


def pytest_addoption(parser: pytest.Parser) -> None:
    rights.add_option(parser)
    services.add_option(parser)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "xdist_group(name): as xdist has it, also where that is off (-p no:xdist)")
    # pip's downloads are worth keeping when XDG_CACHE_HOME points elsewhere.
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    os.environ.setdefault("PIP_CACHE_DIR", f"{cache}/pip")
    os.umask(0o022)  # modes are looked at; tests of another umask set it
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())  # pytest's folders stay to be looked at
    config.pluginmanager.register(Bytecode(config))
    config.pluginmanager.register(Ending(config))
    config.pluginmanager.register(Garbage())
    config.pluginmanager.register(Rights(config))
    config.pluginmanager.register(Services(config))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first: groups that take minutes, then what is slow, then the rest. No worker ends long before the
    others."""
    for item in items:
        if item.path.parent == BOOTS and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group("boot"))
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> tuple[int, bool]:
    """Where a test's group stands among :data:`LONGEST`, and whether the test is quick."""
    group = item.get_closest_marker("xdist_group")
    name = group.args[0] if group else None
    slow = item.get_closest_marker("boot") or item.get_closest_marker("slow")
    if name in LONGEST:
        return LONGEST.index(name), not slow
    return len(LONGEST) + bool(not slow), name is None


@pytest.fixture(scope="session", autouse=True)
def session_directories(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What session fixtures build goes to this run's own cache, shared by all its tests but not by its workers."""
    leftovers.note("place", tmp_path_factory.getbasetemp())
    base = tmp_path_factory.mktemp("xdg")
    with pytest.MonkeyPatch.context() as patch:
        for variable, name in XDG.items():
            patch.setenv(variable, str(base / name))
        yield


@pytest.fixture(autouse=True)
def own_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test never sees the user's cache, data or settings, nor those of another test."""
    for variable, name in XDG.items():
        monkeypatch.setenv(variable, str(tmp_path / "xdg" / name))
