"""Names that nobody uses are dead, and go; vulture finds them."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from vulture import Vulture

ROOT = Path(__file__).parents[1]
PRODUCT = ("ovtasks", "docs", "bench", "dodo.py")
TESTS = ("tests",)
NAMED = re.compile(r"[\w.]+:(\w+)")
"""An object that is loaded by its name: of an entry point, of the registry, of the table of commands."""
CALLED = {
    "*": (
        *("DOIT_C*", "check_modified", "codec", "desc", "get_state", "in_", "remove_all"),  # doit
        *("CharacterDataHandler", "*ElementHandler", "ProcessingInstructionHandler"),  # expat
        *("ConnectionCls", "max_redirects", "pool_classes_by_scheme", "trust_env"),  # requests
        *("close_connection", "daemon_threads", "do_HEAD", "log_message", "protocol_version"),  # http.server
        "ignore_aliases",  # PyYAML
    ),
    "bench/*": ("outputfile",),  # http.server
    "docs/site.py": ("on_*",),  # mkdocs
    "ovtasks/cli/__init__.py": ("doit_known",),  # doitw
    "ovtasks/graph/display.py": ("show_cursor",),  # rich
    "ovtasks/guest/connection.py": ("upload_many",),  # for whoever has many files
    "ovtasks/guest/login.py": ("*_timeout",),  # paramiko
    "ovtasks/layers/events.py": ("SAME",),  # a word of the script in the guest
    "ovtasks/machine/blocks/features.py": ("OTHERS",),  # a test compares it with what QEMU says
    "ovtasks/project/deploy_model.py": ("ttl", "keep_on_failure", "naming_pattern"),  # for ephemeral VMs
    "ovtasks/host/settings_edit.py": ("preserve_quotes",),  # ruamel.yaml
    "ovtasks/project/deploy_write.py": ("preserve_quotes",),  # ruamel.yaml
    "ovtasks/project/model.py": (  # what is declared for kinds of sources and verbs that are not made yet
        *("adopted_at", "base_user", "deploy_eval", "eval"),
        *("from_", "last_synced_at", "quiesce"),
    ),
    "tests/*": (
        *("pytest_*", "test_*", "pytestmark"),  # pytest
        *("pass_filenames", "tb", "tempdir", "session_directories", "visit_*"),  # pre-commit, contextlib, tempfile, ast
        "Paused",  # a source for tests, found by its entry point
    ),
    "tests/cli/test_report.py": ("handle_*",),  # html.parser
    "tests/probes/test_agent.py": ("guest_*", "capture_output"),  # by the name of a command of the agent
    "tests/backends/libvirt/scenes.py": ("*",),  # by name: python -m tests.backends.libvirt.scenes NAME
}
"""Who else uses a name: patterns of names, by patterns of files."""


def dead(*places: str) -> list[str]:
    """Where the names stand that no file in these places uses."""
    vulture = Vulture(ignore_decorators=["@pytest.fixture"])
    vulture.scavenge([str(ROOT / place) for place in places])
    found = []
    loaded = {name for path in (ROOT / "ovtasks").rglob("*.py") for name in NAMED.findall(path.read_text("utf-8"))}
    loaded |= set(NAMED.findall((ROOT / "pyproject.toml").read_text("utf-8")))
    for item in vulture.get_unused_code(min_confidence=60):
        file = item.filename.relative_to(ROOT).as_posix()
        known = [pattern for files, names in CALLED.items() if fnmatchcase(file, files) for pattern in names]
        if item.name not in loaded and not any(fnmatchcase(item.name, pattern) for pattern in known):
            found.append(f"{file}:{item.first_lineno} {item.name}")
    return found


def test_the_product_uses_every_name_of_its_own() -> None:
    """Tests do not count."""
    assert not dead(*PRODUCT)


@pytest.mark.slow  # everything is read
def test_tests_use_every_name_of_theirs() -> None:
    assert not dead(*PRODUCT, *TESTS)
