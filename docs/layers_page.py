"""``docs/layers.md``: what a layer file may say, and what becomes of it in a guest; from the kinds and the schema."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from textwrap import fill

from docs.generate import ROOT, Schema, read, rows, section
from ovtasks import registry
from ovtasks.layers.checks.matchers import MATCHERS
from ovtasks.layers.checks.verbs import VERBS
from ovtasks.layers.kind import AFTER_TASKS, BEFORE_TASKS, OperationKind

WIDTH = 120
PAGE: Path = ROOT / "docs" / "layers.md"
HEAD = """# Layers

Made from the kinds of operations in `ovtasks/layers/kinds` and from `schemas/layer.schema.json` by
`python -m docs.generate`; do not edit. `[]` means: each item of a list; `<name>` stands for a key of your choice.

A layer is a folder `layers/<name>` with a file `layer.yml`, and with the files that it copies. It is put into a running
VM (`ov deploy add`) or into a container image (`layers:` of `image.yml`): one declaration, the same result.

```yaml
# layers/notes/layer.yml
requires: [python]
packages: [git]
distros:
  debian: {packages: [fd-find]}
  fedora: {packages: [fd-find], copr: [owner/project]}
  "ubuntu:24.04": {packages: [fd-find], repos: [{name: tools, url: https://tools.example/deb, suite: noble}]}
vars: {PLACE: /opt/notes}
env: {NOTES: "${PLACE}"}
tasks:
  - mkdir: ${PLACE}
  - {copy: notes.sh, to: "${PLACE}/notes.sh", mode: "0755"}
  - cmd: git config --global notes.displayRef '*'
    user: ${USER}
    uninstall: [git config --global --unset notes.displayRef]
service:
  - {name: notes, exec: /opt/notes/notes.sh --serve 8080, restart: always}
eval:
  - {file: /opt/notes/notes.sh, mode: "0755"}
  - {service: notes, running: true, scope: deploy}
  - {http: "http://127.0.0.1:${HOST_PORT:8080}/", status: 200, scope: deploy}
```

* The content may stand below a key `layer:`. Spellings of other versions of the format mean the same: `depends` and
  `require` are `requires`, `tests` is `eval`, `distro` is `distros`, a singular is the plural (`task`, `package`).
* A layer comes after those that it `requires`. What a file beside `layer.yml` needs is required by itself, if the
  project has such a layer: `nodejs` for `package.json`, `pixi` for `pixi.toml`, `rust` for `Cargo.toml`.
* `${NAME}` in a text is one of `vars`, of the deployment's `env`, or one of `HOME`, `USER`, `UID`, `GID`, `ARCH`
  (amd64, arm64) and `BUILD_ARCH` (x86_64, aarch64). One of `vars` may name those before it.
* What a system cannot do is an error that names it; with `skip_incompatible` it is left out, and named.
* An image build has no values for `secret_requires` and `secrets`, nor for those `env_requires` that have no `default`:
  such a layer is an error there, too. `ov deploy add` puts it into the VM.

"""
ORDER = """## What becomes of it

The parts of a layer are carried out in this order, and undone in the reverse one:

1. {before}
2. the tasks, as they are written
3. {after}

Each of them becomes operations that know how to look whether all is so already, how to keep what was there, how to do
their work and how to undo it:

* **Looked at first.** What is so already is left alone, and undo leaves it alone, too. Only commands (`cmd`, `build`,
  `extract: sh`) cannot be looked at: they run once.
* **Kept before.** The guest keeps what an operation is about to change, below `/var/lib/ovtasks` (for a user without
  root: `~/.local/state/ovtasks`), until it is undone. Taking a layer out needs neither its file nor this machine's
  records.
* **Incremental.** When a layer is edited, its operations are compared, one after the other. From the first one that
  differs on they are undone, the last one first; then the new ones are done. Those before it stay.
* **Cut off at any moment.** A command that fails, a lost connection, a kill, a power cut: the same command goes on
  where that ended, and undo restores what was there.
* **One at a time.** A second deployment into the same guest waits for the first.

Files belong to the `user` of their task. The folders above them are made when they are missing, with mode 0755, and go
again with the last file in them.

"""
CHECKS = """## Checks

`eval` says what must hold. `ov deploy add --verify` and `ov deploy status` carry the checks out: all that look into
the guest by one script over one connection, as root where sudo or doas allows it, commands as the user who logs in.
`addr`, `http` and `dns` look from this machine: with `${{HOST_PORT:8080}}` at the port that leads to the guest's
8080, or inside of the guest when no port leads there. What comes up by itself (a service, a port, an answer) is
looked at again and again for `timeout` (10 s), any other check for as long as `eventually` says, with a pause of
`retry_interval`. `capture: NAME` keeps what a command prints, what `http` gets or what a method of `libvirt` says, or
the part that `capture_extract` matches; later checks of the list use it as `${{CAPTURED:NAME}}`. A check is `ok` or
`failed`, with what was expected and found; `skipped`, because it says itself that it is not for this system; or `not
carried out`: checks of containers and of desktops ({others}). `libvirt` and `spice` ask the VM itself
([probes.md](probes.md)). `ov eval live NAME` carries out all checks of a VM that runs, with those of its entry in
`vms.yml`.

What is expected of a text is the text, blanks at its ends apart, or a mapping: {matchers}, each also with `not_`
before it; `not:` turns anything round, and all of a list must hold.

| check | keys of its own |
|---|---|
{verbs}

"""


def page() -> str:
    """The whole page."""
    schema = read("layer")
    parts = [HEAD, _order(), *(_kind(name, schema) for name in registry.BUILT_IN[registry.OPERATIONS])]
    parts.append(_checks(schema))
    parts.append(
        section("The file", str(schema["description"]), rows(schema, _without(schema, _containers(schema)), ""))
    )
    for name in ("section", "repo", "aur", "service", "check"):
        definition = schema["$defs"][name]
        parts.append(section(f"A {name}", str(definition["description"]), rows(schema, definition, "")))
    names = ", ".join(f"`{name}`" for name in _containers(schema))
    parts.append(
        f"## Fields of containers\n\nThey are read, listed by `ov validate -v`, and do nothing in a VM: {names}.\n"
    )
    return "".join(parts).rstrip() + "\n"


def _order() -> str:
    before, after = (", ".join(f"`{name}`" for name in names) for names in (BEFORE_TASKS, AFTER_TASKS))
    return ORDER.format(before=before, after=after)


def _kind(name: str, schema: Schema) -> str:
    found = registry.find(registry.OPERATIONS, name)
    kind = found() if isinstance(found, type) else found
    assert isinstance(kind, OperationKind)
    paragraphs = (fill(one, WIDTH, break_long_words=False, break_on_hyphens=False) for one in kind.doc.split("\n\n"))
    text = "\n\n".join((f"### {name}", *paragraphs, ""))
    definition = schema["$defs"].get(f"task_{name}")
    if definition is None:
        return text
    return text + "\n".join(
        ["| field | value | default | meaning |", "|---|---|---|---|", *rows(schema, definition, ""), "", ""]
    )


def _checks(schema: Schema) -> str:
    known = schema["$defs"]["check"]["properties"]
    others = (name for name, field in known.items() if "left out for VMs" in field.get("description", ""))
    return CHECKS.format(
        others=", ".join(f"`{name}`" for name in others),
        matchers=", ".join(f"`{name}`" for name in MATCHERS),
        verbs="\n".join(f"| `{verb.name}` | {', '.join(f'`{key}`' for key in verb.keys)} |" for verb in VERBS.values()),
    )


def _containers(schema: Schema) -> list[str]:
    return [
        name for name, field in schema["properties"].items() if "Without effect in a VM" in field.get("description", "")
    ]


def _without(schema: Schema, names: list[str]) -> Schema:
    return {**schema, "properties": dict(_kept(schema, names))}


def _kept(schema: Schema, names: list[str]) -> Iterator[tuple[str, object]]:
    yield from ((name, field) for name, field in schema["properties"].items() if name not in names)
