"""docs/deploy.md: its example works, and it has every field."""

from __future__ import annotations

import pytest

from ovtasks.project.load import check
from ovtasks.project.schema import inlined
from tests.deploy.guest import Guest
from tests.support.checkout import ROOT
from tests.support.pages import blocks

PAGE = ROOT / "docs" / "deploy.md"


def text(tag: str) -> str:
    ((_, found),) = blocks(PAGE, tag)
    return found


@pytest.mark.slow  # a guest that nobody knows
def test_the_example_works(guest: Guest) -> None:
    guest.layer("greeting", text("layer"))
    said = []
    for line in text("guest").splitlines():
        said.append(guest.ov(*line.partition("#")[0].split()[1:]) + guest.said)
    added, listed, status, plan, again, removed = said
    assert "applied greeting" in added and "deployed" in listed and "all is as it was put" in status
    assert "nothing to do" in plan and "nothing to do" in again and "undone greeting" in removed
    guest.deploy_yml(text("entry"))
    guest.ov("deploy", "add", "web-vm")
    assert guest.file("/etc/motd") == "hello\n"


def test_every_field_is_there(guest: Guest) -> None:
    guest.layer("greeting", text("layer"))
    guest.deploy_yml(text("entry"))
    assert not check((), guest.project).errors
    page = PAGE.read_text(encoding="utf-8")
    fields = inlined("deploy")["$defs"]["vm"]["properties"]
    missing = [name for name in (*fields, *fields["install_opts"]["properties"]) if f"`{name}`" not in page]
    assert not missing
