"""``docs/libvirt.md``: the reference of the ``libvirt:`` block, from the table in ``ovtasks/machine``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ovtasks.machine.field import Block, Field, Items, Node, Only, Version, Words, beside, without_libvirt
from ovtasks.machine.placeholders import OLD_PLACEHOLDERS, PLACEHOLDERS
from ovtasks.machine.table import DEVICES, LIBVIRT

HEAD = """# The `libvirt:` block, field by field

Made from the table in `ovtasks/machine` by `python -m docs.generate`; do not edit.

ov checks every field when it reads the file. Unknown keys, invalid values and contradicting fields are errors with line
and column. If the host lacks a feature, `ov vm create` fails. ov never ignores a field silently.

* `[]` means: each item of a list. A place is a path in libvirt's domain XML: `a/b@c` is the attribute `c` of `<b>` in
  `<a>`. `?` marks an element without a value, which is either present or absent.
* `yes`, `on` and `true` mean the same, as do `no`, `off` and `false`. Numbers may be quoted.
* Sizes: `2G`, `512M`, `4 MiB`, powers of 1024.
* Paths are absolute, or start with a placeholder:
{placeholders}
* For everything else in libvirt, write XML: `snippets`, `xml_passthrough`.
* With `backend: qemu` the fields mean the same. ov refuses fields with the mark "Not with backend qemu", and single
  values that plain QEMU lacks, and names them.

ov adds some settings automatically, and `create` and `plan` say so: shared memory for virtiofs; a SPICE server for a
`spicevmc` channel, USB redirection or a smart card; SMM for `firmware: uefi-secure`; a `cid` for `vsock` without one.
If a device has `boot`, the VM's own disk boots last.

"""


def page() -> str:
    """The whole page."""
    old = {new: spelling for spelling, new in OLD_PLACEHOLDERS.items()}
    lines = [
        f"  `{name}` {meaning}" + (f" (also `{old[name]}`)" if name in old else "")
        for name, meaning in PLACEHOLDERS.items()
    ]
    parts = [HEAD.replace("{placeholders}", ";\n".join(f"  *{line[1:]}" for line in lines) + ".")]
    for name, node in LIBVIRT.fields.items():
        if node is not DEVICES and not isinstance(node, Field | Words):
            parts.append(_section(f"libvirt.{name}", node, ""))
    plain = {name: node for name, node in LIBVIRT.fields.items() if isinstance(node, Field | Words)}
    parts.insert(1, _table("libvirt", LIBVIRT.doc, _rows(plain, "", "", "")))
    emulator = {name: node for name, node in DEVICES.fields.items() if isinstance(node, Field | Words)}
    parts.append(_table("libvirt.devices", DEVICES.doc, _rows(emulator, "", "devices", "devices.")))
    for name, node in DEVICES.fields.items():
        if not isinstance(node, Field | Words):
            parts.append(_section(f"libvirt.devices.{name}", node, "devices"))
    return "".join(parts).rstrip() + "\n"


def _section(title: str, node: Block | Items, place: str) -> str:
    block = node.block if isinstance(node, Items) else node
    below = "/".join(part for part in (place, block.at) if part)
    text = f"{block.doc} XML: `{below}`." + _limits(node)
    rows = _rows(block.fields, "", "", f"{title.removeprefix('libvirt.')}.")
    return _table(f"{title}[]" if isinstance(node, Items) else title, text, rows)


def _table(title: str, text: str, rows: Iterator[str]) -> str:
    head = ["| field | value | default | place | meaning |", "|---|---|---|---|---|"]
    return "\n".join([f"## {title}", "", text, "", *head, *rows, "", ""])


def _rows(fields: Mapping[str, Node], prefix: str, place: str, above: str) -> Iterator[str]:
    """The rows of ``fields``. ``above``: the names of the enclosing blocks below ``libvirt``, each with a dot."""
    for name, node in fields.items():
        path = f"{prefix}{name}"
        if isinstance(node, Field | Words):
            yield _row(path, node, place, f"{above}{name}")
            continue
        block = node.block if isinstance(node, Items) else node
        kind = ("list; an item may be one text" if node.short else "list") if isinstance(node, Items) else "mapping"
        below = "/".join(part for part in (place, block.at) if part)
        yield _line(path, kind, "", below, block.doc + _limits(node))
        yield from _rows(
            block.fields, f"{path}[]." if isinstance(node, Items) else f"{path}.", below, f"{above}{name}."
        )


def _row(path: str, node: Field | Words, place: str, name: str) -> str:
    at = node.at if node.at.startswith("@") or not place or not node.at else f"/{node.at}"
    values = ", ".join(f"`{value}`" for value in node.kind.values) or node.kind.words
    if node.kind.other:
        values += "; also " + ", ".join(f"`{word}`" for word in node.kind.other)
    if isinstance(node, Words):
        return _line(path, f"list: {values}", "", place + at, node.doc + _limits(node) + _alone(name))
    default = node.default or node.assumed
    more = "".join(f" `{value}`: {_version(since)}." for value, since in node.since_values.items())
    doc = ("**Required.** " if node.required else "") + node.doc + _limits(node) + more + _alone(name)
    return _line(path, values, f"`{default}`" if default else "", place + at, doc)


def _limits(node: Node) -> str:
    only, needs = beside(node)
    since = node.block.since if isinstance(node, Items) else None if isinstance(node, Words) else node.since
    words = _only(only)
    if needs:
        words += f" Needs {', '.join(f'`{name}`' for name in needs)}."
    return words + (f" From {_version(since)} on." if since else "")


_REFUSED = dict(without_libvirt(LIBVIRT))


def _alone(name: str) -> str:
    words = {
        "never": " Not with backend qemu.",
        "kvm": " With backend qemu only under KVM.",
        "tcg": " Without KVM only.",
    }
    return words.get(_REFUSED.get(name, ""), "")


def _only(only: Only) -> str:
    return "".join(f" With `{key}`: {', '.join(f'`{value}`' for value in values)}." for key, values in only.items())


def _version(version: Version) -> str:
    return f"libvirt {version[0]}.{version[1]}"


def _line(path: str, value: str, default: str, place: str, meaning: str) -> str:
    cells = [f"`{path}`", value, default, f"`{place}`" if place else "", meaning]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
