"""The placeholders that a path of the ``libvirt:`` block may hold."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from ovtasks.values.words import near

PLACEHOLDERS = {
    "${vm.dir}": "the instance's folder",
    "${vm.name}": "the domain's name, ov-NAME or ov-NAME-INSTANCE",
    "${vm.sockets}": "a folder of the VM's own for sockets, with a short path",
    "${vm.project}": "the project's folder",
}
"""Each placeholder → what it stands for. The first two have older spellings, too."""
OLD_PLACEHOLDERS = {"{{.VmStateDir}}": "${vm.dir}", "{{.VmName}}": "${vm.name}"}

_PLACEHOLDER = re.compile(r"\$\{[^}]*\}?|\{\{[^}]*\}?\}?")


def unknown(path: str) -> Iterator[tuple[str, str]]:
    """Message and hint for each word that looks like a placeholder and is none."""
    for word in _PLACEHOLDER.findall(path):
        if _name(word) not in PLACEHOLDERS:
            guess = near(word, [*PLACEHOLDERS, *OLD_PLACEHOLDERS])
            hint = f"did you mean {guess}?" if guess else f"known are {', '.join(PLACEHOLDERS)}"
            yield f"{word} is not a placeholder", hint


def expand(path: str, words: Mapping[str, str]) -> str:
    """``path`` with its placeholders replaced by ``words`` (``${vm.dir}`` → …); others stay as they are."""
    return _PLACEHOLDER.sub(lambda found: words.get(_name(found[0]), found[0]), path)


def _name(word: str) -> str:
    return OLD_PLACEHOLDERS.get(word.replace(" ", ""), word)
