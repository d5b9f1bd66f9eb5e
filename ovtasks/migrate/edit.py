"""Edits of a YAML text: characters of nodes are exchanged, lines of a mapping taken out, moved, or put in."""

from __future__ import annotations

import re
from pathlib import Path

from ovtasks.errors import InputError, Where
from ovtasks.migrate.tree import YamlNode
from ovtasks.project.places import display

_PROPERTIES = re.compile(r"(?:[&!]\S*\s+)*")
Pair = tuple[YamlNode, YamlNode]


class Edits:
    """Collects changes of one text. Two that overlap are refused."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.text = text
        self._found: dict[tuple[int, int], str] = {}

    def __len__(self) -> int:
        """How many changes there are."""
        return len(self._found)

    def where(self, node: YamlNode) -> Where:
        """The place of a node in the file."""
        before = self.text[: node.start]
        return Where(display(self.path), before.count("\n") + 1, len(before) - before.rfind("\n"))

    def error(self, node: YamlNode, message: str, hint: str) -> InputError:
        """An error at a node."""
        return InputError(message, hint=hint, where=self.where(node))

    def put(self, start: int, end: int, new: str) -> None:
        """Exchange ``text[start:end]``. At one place, insertions follow each other."""
        if start == end:
            new = self._found.get((start, end), "") + new
        self._found[start, end] = new

    def scalar(self, node: YamlNode, new: str) -> None:
        """Exchange a scalar; its quotes, anchor and tag stay."""
        properties = _PROPERTIES.match(self.text, node.start, node.end)
        start = properties.end() if properties else node.start
        quote = self.text[start] if self.text[start : start + 1] in {"'", '"'} else ""
        self.put(start, node.end, f"{quote}{new}{quote}")

    def done(self) -> str:
        """The text with all changes.

        :raises InputError: two of them are at the same place.
        """
        text, last = self.text, len(self.text)
        for (start, end), new in sorted(self._found.items(), reverse=True):
            if end > last:
                node = YamlNode("scalar", start, end)
                raise self.error(node, "two changes meet here", "edit this place by hand, then repeat")
            text, last = text[:start] + new + text[end:], start
        return text

    @property
    def newline(self) -> str:
        """How the file ends its lines."""
        return "\r\n" if "\r\n" in self.text else "\n"

    def line_start(self, index: int) -> int:
        """Where the line of ``index`` begins."""
        return self.text.rfind("\n", 0, index) + 1

    def line_end(self, index: int) -> int:
        """The index after the line of ``index``."""
        found = self.text.find("\n", index)
        return len(self.text) if found < 0 else found + 1

    def column(self, node: YamlNode) -> int:
        """The node's column, from 0."""
        return node.start - self.line_start(node.start)

    def own_lines(self, pair: Pair) -> bool:
        """Whether nothing else stands before the pair in its line."""
        return not self.text[self.line_start(pair[0].start) : pair[0].start].strip()

    def comments(self, pair: Pair) -> tuple[int, str]:
        """Where the comments directly above a pair begin, and their text."""
        first = start = self.line_start(pair[0].start)
        indent = self.column(pair[0])
        while start > 0:
            above = self.line_start(start - 1)
            line = self.text[above:start]
            if not line.lstrip(" ").startswith("#") or len(line) - len(line.lstrip(" ")) != indent:
                break
            start = above
        return start, self.text[start:first]

    def remove(self, parent: YamlNode, pairs: list[Pair], *, comments: bool = True) -> None:
        """Take pairs out of a mapping, with the comments that stand directly above and behind them."""
        left = [pair for pair in parent.pairs if pair not in pairs]
        if not left:
            self.put(parent.start, parent.end, "{}")
            return
        for pair in pairs:
            if not parent.flow:
                start = self.comments(pair)[0] if comments else self.line_start(pair[0].start)
                if not self.own_lines(pair):
                    raise self.error(pair[0], "something else stands in this line", "give it a line of its own")
                self.put(start, self.line_end(pair[1].end), "")
                continue
            later = [one for one in left if one[0].start > pair[0].start]
            if later:
                after = parent.pairs[parent.pairs.index(pair) + 1]
                self.put(pair[0].start, after[0].start, "")
            else:
                before = parent.pairs[parent.pairs.index(pair) - 1]
                self.put(before[1].end, pair[1].end, "")

    def moved(self, parent: YamlNode, pair: Pair, name: str, indent: int) -> str:
        """The lines of a pair as it is to stand below another key: called ``name``, ``indent`` columns deep."""
        comments = "" if parent.flow else self.comments(pair)[1]
        end = pair[1].end if parent.flow else self.line_end(pair[1].end)
        body = self.text[pair[0].end : end]
        if not body.endswith("\n"):
            body += self.newline
        old = 0 if parent.flow else self.column(pair[0])
        first, *rest = f"{name}{body}".splitlines(keepends=True)
        lines = [*comments.splitlines(keepends=True), " " * old + first, *rest]
        return "".join(shifted(lines, indent - old))

    def insert(self, parent: YamlNode, lines: list[str]) -> None:
        """Put ``key: value`` lines at the beginning of a mapping."""
        if not lines:
            return
        if parent.kind == "scalar" and not parent.value:  # nothing is written there
            self.put(parent.end, parent.end, f" {{{', '.join(lines)}}}")
        elif parent.flow:
            at = self.text.index("{", parent.start) + 1
            self.put(at, at, ", ".join(lines) + (", " if parent.pairs else ""))
        else:
            start = self.line_start(parent.pairs[0][0].start)
            indent = " " * self.column(parent.pairs[0][0])
            self.put(start, start, "".join(f"{indent}{line}{self.newline}" for line in lines))


def shifted(lines: list[str], by: int) -> list[str]:
    """Lines moved to the right or left; empty ones stay."""
    if by >= 0:
        return [" " * by + line if line.strip() else line for line in lines]
    return [line[min(-by, len(line) - len(line.lstrip(" "))) :] for line in lines]
