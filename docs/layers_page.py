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

A layer is a folder `layers/<name>` with a file `layer.yml` and the files that it copies. You apply a layer to a running
VM (`ov deploy add`) or to a container image (`layers:` in `image.yml`), with the same result.

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

* The contents may be below a key `layer:`. Older names work, too: `depends` and `require` mean `requires`, `tests`
  means `eval`, `distro` means `distros`, and a singular means the plural (`task`, `package`).
* A layer comes after the layers that it `requires`. Some files beside `layer.yml` require a layer automatically, if the
  project has it: `package.json` requires `nodejs`, `pixi.toml` requires `pixi`, `Cargo.toml` requires `rust`.
* `${NAME}` in a text stands for a value of `vars`, of the deployment's `env`, or one of `HOME`, `USER`, `UID`, `GID`,
  `ARCH` (amd64, arm64) and `BUILD_ARCH` (x86_64, aarch64). A value of `vars` may use the ones before it.
* If a system lacks a feature, ov fails and names it; with `skip_incompatible`, ov skips it and names it.
* An image build has no values for `secret_requires`, `secrets`, and `env_requires` without a `default`. A layer with
  these is an error there; use `ov deploy add` to apply it to the VM.

"""
ORDER = """## How ov applies a layer

ov applies the parts of a layer in this order, and undoes them in reverse:

1. {before}
2. the tasks, in their order
3. {after}

Each part becomes operations. An operation can check whether its work is done already, keep the previous state, do the
work, and undo it:

* **Check first.** ov skips work that is already done, and undo does not touch it either. Commands (`cmd`, `build`,
  `extract: sh`) have no check: they run once.
* **Keep the previous state.** Before an operation changes something, the guest keeps a copy below `/var/lib/ovtasks`
  (for a user without root: `~/.local/state/ovtasks`) until the operation is undone. So you can remove a layer without
  its file and without this machine's records.
* **Incremental.** After an edit, ov compares the operations in order. It undoes the old ones from the first difference
  on, the last one first, and does the new ones. Operations before the difference stay.
* **Safe to interrupt.** After a failed command, a lost connection, a kill or a power cut, the same command continues
  there, and undo restores the previous state.
* **One at a time.** A second deployment to the same guest waits for the first.

Files belong to the `user` of their task. ov makes missing parent folders with mode 0755, and removes them with the last
file in them.

"""
CHECKS = """## Checks

`eval` lists what must be true after the layer is applied. `ov deploy add --verify` and `ov eval live NAME` run the
checks; `ov eval live` adds the ones of the VM's entry in `vms.yml`.

* **Inside the guest.** One script runs all these checks over one connection: as root if sudo or doas permits it, and
  commands as the login user.
* **From this machine.** `addr`, `http` and `dns` run here. `${{HOST_PORT:8080}}` stands for the host port that leads to
  port 8080 of the guest; without such a port, the check runs inside the guest.
* **From outside.** `libvirt` and `spice` ask the VM itself ([probes.md](probes.md)).
* **Waiting.** ov repeats a check of a service, a port or an answer for `timeout` (10 s), and any other check for the
  time in `eventually`, with a pause of `retry_interval`.
* **Captured values.** `capture: NAME` keeps the output of a command, of `http` or of a `libvirt` method, or the part
  that `capture_extract` matches. Later checks of the list use it as `${{CAPTURED:NAME}}`.

A check is `ok`; `failed`, with the expected and the found value; `skipped`, if it excludes this system; or `not carried
out`, for checks of containers and desktops ({others}).

An expected text is compared without spaces at its ends. It may also be a mapping: {matchers}, each also with `not_`
before it. `not:` inverts any expectation, and every item of a list must match.

| check | its own keys |
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
