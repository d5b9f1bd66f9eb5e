"""Definitions on a screen: what is secret does not show, all else does."""

from __future__ import annotations

import pytest

from ovtasks.instance.redact import difference, redacted

LINES = {
    '<graphics type="vnc" port="1" passwd="PW" keymap="de">': '<graphics type="vnc" port="1" passwd="…" keymap="de">',
    "<graphics passwd='PW' connected='keep'/>": "<graphics passwd=\"…\" connected='keep'/>",
    '<qemu:arg value="user,password=PW,id=x"/>': '<qemu:arg value="user,password="…",id=x"/>',
    ' "vnc=127.0.0.1:1,password=PW",': ' "vnc=127.0.0.1:1,password="…"",',
    r' "{\"a\":1,\"password\":\"PW\",\"id\":\"y\"}",': r' "{\"a\":1,\"password\":\"…\",\"id\":\"y\"}",',
    "<entry>io.systemd.credential:root=PW</entry>": "<entry>io.systemd.credential:root=…</entry>",
    ' "value=io.systemd.credential.binary:x.y=UFc=",': ' "value=io.systemd.credential.binary:x.y=…",',
    '<entry name="opt/org.example/key">PW</entry>': '<entry name="opt/org.example/key">…</entry>',
    ' "name=opt/org.example/key,string=PW",': ' "name=opt/org.example/key,string=…",',
    '<source file="/srv/a.qcow2"/>': '<source file="/srv/a.qcow2"/>',
    '<entry name="manufacturer">me</entry>': '<entry name="manufacturer">me</entry>',
    "<memory unit='KiB'>131072</memory>": "<memory unit='KiB'>131072</memory>",
}


@pytest.mark.parametrize("line", LINES)
def test_lines(line: str) -> None:
    assert redacted(line) == LINES[line]


def test_the_name_of_a_credential_may_speak_of_passwords() -> None:
    shown = redacted("<entry>io.systemd.credential:passwd.plaintext-password.root=PW</entry>")
    assert "PW" not in shown and shown.startswith("<entry>io.systemd.credential:passwd.plaintext-password.root=")


def test_a_secret_that_changed_is_a_line_that_changed() -> None:
    text = difference("ov-a", '<graphics passwd="one"/>\n', '<graphics passwd="two"/>\n')
    assert text.splitlines()[-2:] == ['-<graphics passwd="…"/>', '+<graphics passwd="…"/>']
