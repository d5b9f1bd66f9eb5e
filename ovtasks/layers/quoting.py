"""Values in the words of the files that read them: pam_env, environment.d, systemd's units."""

from __future__ import annotations

import re

_PLAIN = re.compile(r"[\w./:@%+,=-]+", re.ASCII)


def pam_line(name: str, value: str) -> str:
    """A line of ``/etc/environment``. pam_env takes one quote off each end, whatever is between; systemd reads it too.

    So a value with quotes of both kinds is right for pam_env only.
    """
    if _PLAIN.fullmatch(value):
        return f"{name}={value}"
    if "'" not in value:
        return f"{name}='{value}'"
    return f'{name}="{value}"'


def environment_d(name: str, value: str) -> str:
    """A line of environment.d(5), where ``$$`` is a dollar."""
    if _PLAIN.fullmatch(value):
        return f"{name}={value}"
    return f'{name}="{_escaped(value).replace("$", "$$")}"'


def environment_file(name: str, value: str) -> str:
    """A line of the file of ``EnvironmentFile=``, see systemd.exec(5)."""
    return f'{name}="{_escaped(value).replace("$", chr(92) + "$")}"'


def exec_word(word: str) -> str:
    """A word of ``ExecStart=``, see systemd.service(5): nothing in it is expanded."""
    text = word.replace("\\", "\\\\").replace("%", "%%").replace("$", "$$")
    text = text.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
    if _PLAIN.fullmatch(text.replace("$", "")):
        return text
    return '"' + text.replace('"', '\\"') + '"'


def specifiers(text: str) -> str:
    """``text`` for a setting that systemd looks for ``%`` in."""
    return text.replace("%", "%%")


def _escaped(value: str) -> str:
    return re.sub(r'([\\"`])', r"\\\1", value)
