"""What is shown of a changed definition."""

from __future__ import annotations

from ovtasks.instance.redact import difference


def test_passwords_are_not_shown() -> None:
    old = '<graphics type="vnc" passwd="one" port="1" />\n'
    text = difference("ov-web", old, old.replace("one", "two"))
    assert text.splitlines()[3:] == [
        '-<graphics type="vnc" passwd="…" port="1" />',
        '+<graphics type="vnc" passwd="…" port="1" />',
    ]


def test_the_same_is_nothing() -> None:
    assert difference("ov-web", "<a/>\n", "<a/>\n") == ""
