"""Every error has an id, which it keeps, and a page."""

from __future__ import annotations

import re
import shlex
from collections import Counter

import pytest

from docs.catalogue import page, renewed, sites, written
from ovtasks.cli.main import parser, run, split_rest
from ovtasks.errors import InputError, InputErrors, OvError
from ovtasks.errors.catalogue import ADVICE, GROUPS, ROWS, article, by_id, error_ids, find, rows, told
from tests.support.output import checked

AGAIN = "run: python -m docs.catalogue"
HANDED_ON = {
    ("backends/libvirt/diagnosis.py", "diagnose"),
    ("backends/libvirt/probing.py", "_answer"),
    ("backends/qemu/diagnosis.py", "_audio"),
    ("backends/qemu/diagnosis.py", "_input"),
    ("backends/qemu/diagnosis.py", "diagnose"),
    ("cli/lifecycle.py", "overrides_of"),
    ("cli/reach.py", "need_running"),
    ("containers/context.py", "read_context"),
    ("containers/transports.py", "archive"),
    ("deploy/deploy.py", "_carry_out"),
    ("deploy/fetch.py", "_content"),
    ("guest/connection_errors.py", "wrong_host_key"),
    ("host/settings.py", "_document"),
    ("host/settings.py", "_values"),
    ("host/settings.py", "get"),
    ("host/settings.py", "put"),
    ("images/bring.py", "_take"),
    ("images/diagnosis.py", "diagnose"),
    ("images/request.py", "local_path"),
    ("instance/host_key.py", "prepared"),
    ("instance/ports.py", "_free"),
    ("instance/record.py", "load"),
    ("instance/record.py", "of"),
    ("instance/saved_machine.py", "load_machine"),
    ("layers/downloads.py", "_check"),
    ("layers/downloads.py", "_once"),
    ("layers/kinds/download.py", "complete"),
    ("layers/kinds/npm.py", "_read"),
    ("machine/qemu/snippets.py", "_elements"),
    ("machine/read.py", "read"),
    ("machine/xml/domain.py", "_completed"),
    ("machine/xml/merge.py", "_error"),
    ("probes/libvirt_methods.py", "_passwd"),
    ("probes/machine.py", "picture"),
    ("probes/method.py", "read"),
    ("probes/spice_link.py", "_check"),
    ("project/images.py", "image_of"),
    ("project/user_data.py", "_block"),
    ("project/xml_rules.py", "xml_rules"),
    ("sources/bootc/diagnosis/__init__.py", "_known"),
    ("sources/bootc/layered.py", "_refuse"),
    ("sources/bootstrap/diagnosis.py", "diagnose"),
    ("sources/imported/chain.py", "_adopt"),
    ("sources/new_entry.py", "check_entry"),
    ("values/option.py", "read"),
}
"""Functions that make an error of words from elsewhere: of another error, or of another program."""


@pytest.mark.slow
def test_every_place_that_makes_an_error_has_a_row() -> None:
    """A new message, a changed hint or a message that is gone: the rows must say so."""
    assert ROWS.read_text(encoding="utf-8") == written(renewed()), AGAIN


@pytest.mark.slow
def test_every_place_says_something_of_its_own() -> None:
    silent = {(site.file, site.function) for site in sites() if not site.messages}
    assert silent <= HANDED_ON, "the message cannot be found; write it where the error is made"
    assert silent >= HANDED_ON, "take these out of HANDED_ON"


def test_an_id_is_one_error_s() -> None:
    assert not [name for name, count in Counter(row.id for row in rows()).items() if count > 1]
    assert all(re.fullmatch(r"OV-[1-9]\d{3}", row.id) for row in rows())
    assert [row.id for row in rows()] == sorted(row.id for row in rows())
    texts = Counter(row.text for row in rows() if not row.retired)
    assert not [text for text, count in texts.items() if count > 1]


def test_a_message_finds_its_own_row() -> None:
    """With values in its gaps: no other row may be in the way."""
    wrong = []
    for row in rows():
        got = find(f"web: {row.text.replace('…', 'x1')}: more")
        if not row.retired and (got is None or (got.id != row.id and got.weight <= row.weight)):
            wrong.append((row.id, row.text, got))
    assert not wrong


def test_every_row_has_a_section_on_its_group_s_page() -> None:
    headings = {name for group in GROUPS for name in re.findall(r"^## (OV-\d+)$", page(group), re.MULTILINE)}
    assert headings == {row.id for row in rows()}
    assert all(article(row) for row in rows())


def test_advice_is_about_errors_that_exist() -> None:
    named = re.findall(r"^## (\S+)$", ADVICE.read_text(encoding="utf-8"), re.MULTILINE)
    alive = {row.id for row in rows() if not row.retired}
    assert len(named) == len({*named}) >= 60 and {*named} <= alive


def test_advice_names_commands_that_exist() -> None:
    top = parser()
    for line in re.findall(r"`(ov [^`]+)`", ADVICE.read_text(encoding="utf-8")):
        top.parse_args(split_rest(shlex.split(line)[1:])[0])  # ends with 2 when a word is not known


def test_an_error_is_printed_with_its_id(tmp_path: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["-C", str(tmp_path), "plan", "web"]) == 2
    said = capsys.readouterr().err
    (name,) = re.findall(r"^  see: ov explain (OV-\d{4})$", said, re.MULTILINE)
    assert run(["explain", name]) == 0
    assert capsys.readouterr().out.startswith(f"{name}: ")


def test_several_errors_share_one_line() -> None:
    errors = [InputError("no VM 'a' is declared"), InputError("unknown disk format 'iso'"), OvError("zzz")]
    both = error_ids(InputErrors(errors[:2]))  # type: ignore[arg-type]
    assert len(both) == 2
    assert told(InputErrors(errors[:2])).endswith(f"see: ov explain {' '.join(both)}")  # type: ignore[arg-type]
    assert told(errors[2]) == "zzz"


def test_explained_by_id_by_text_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    row = find("the disk is full (/home)")
    assert row is not None and by_id(row.id.lower()) == row
    for words in ([row.id], ["the", "disk", "is", "full", "(/home)"]):
        assert run(["explain", *words]) == 0
        said = capsys.readouterr().out
        assert said.startswith(f"{row.id}: ") and article(row) in said
    assert run(["explain", "--json", row.id]) == 0
    (shown,) = checked("ov explain", capsys.readouterr().out)["errors"]
    assert (shown["id"], shown["message"], shown["text"]) == (row.id, row.text, article(row))
    assert run(["explain", "OV-9999"]) == 2
    assert run(["explain", "it hurts"]) == 2
    assert "no error says 'it hurts'" in capsys.readouterr().err


def test_validate_names_ids_in_json(tmp_path: object, capsys: pytest.CaptureFixture[str]) -> None:
    from pathlib import Path

    (Path(str(tmp_path)) / "vms.yml").write_text("vms:\n  web: {sorce: {}}\n")
    assert run(["-C", str(tmp_path), "validate", "--json"]) == 2
    errors = checked("ov validate", capsys.readouterr().out)["errors"]
    assert errors and all(by_id(one["id"]) for one in errors)
