"""Properties of all migrations: the layout decides nothing, twice is once, and no value is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from ovtasks.errors import OvError
from ovtasks.migrate.files import Texts
from ovtasks.migrate.run import DEPLOY, NAMES, VM_SPEC, migrate
from ovtasks.values.yamlio import parse_yaml

ROOT = Path("/p")
WORDS = st.sampled_from(["4G", "x y", "a: b", "# no", "é", "vm:web", "line\nline\n", "true", ""])
VM = st.fixed_dictionaries(
    {"source": st.just({"kind": "bootstrap"})},
    optional={"cpu": st.just(2), "disposable": st.booleans(), "lifecycle": WORDS, "tests": st.just([{"file": "/x"}])},
)
IMAGE_VM = st.fixed_dictionaries(
    {},
    optional={
        "ram": WORDS,
        "rootfs": st.just("xfs"),
        "network": st.sampled_from(["user", "br0"]),
        "ssh_port": st.just(2250),
        "cloud_init": st.just({"runcmd": ["a\nb\n", "c"]}),
    },
)
IMAGE = st.fixed_dictionaries(
    {"ref": st.just("quay.io/a/b:1")},
    optional={"vm": IMAGE_VM, "libvirt": st.lists(WORDS, min_size=1, max_size=2), "bootc": st.booleans()},
)
ENTRY = st.fixed_dictionaries(
    {},
    optional={
        "target": st.sampled_from(["vm", "container", "kubernetes", "pod"]),
        "vm": st.sampled_from(["web", "img"]),
        "add_layer": st.lists(st.sampled_from(["a", "b"]), max_size=2),
        "env": st.dictionaries(st.sampled_from(["A", "B"]), WORDS),
        "peer": st.sampled_from(["vm:web", "vm:web.inner", "x"]),
    },
)
ENTRIES = st.dictionaries(st.sampled_from(["vm:web", "vm:img", "vm:web/dev", "db", "c-k8s", "host"]), ENTRY, min_size=1)
FILES = st.fixed_dictionaries(
    {
        "vms.yml": st.fixed_dictionaries({"vms": st.dictionaries(st.sampled_from(["web", "db"]), VM, min_size=1)}),
        "image.yml": st.fixed_dictionaries(
            {"images": st.dictionaries(st.sampled_from(["img", "x-bootc"]), IMAGE, min_size=1)}
        ),
        "deploy.yml": st.one_of(
            st.fixed_dictionaries({"images": ENTRIES}),
            st.fixed_dictionaries({"version": st.just(2), "deployments": st.fixed_dictionaries({"images": ENTRIES})}),
            st.fixed_dictionaries({"deploy": ENTRIES}, optional={"version": st.sampled_from([1, 4])}),
        ),
    }
)
STYLES = st.fixed_dictionaries(
    {
        "default_flow_style": st.sampled_from([False, None]),
        "indent": st.sampled_from([2, 4, 7]),
        "width": st.sampled_from([20, 1000]),
        "default_style": st.sampled_from([None, '"']),
        "line_break": st.sampled_from(["\n", "\r\n"]),
    }
)
PLAIN = {"default_flow_style": False, "indent": 2, "width": 1000, "line_break": "\n"}


def done(files: dict[str, Any], style: dict[str, Any]) -> dict[str, Any] | None:
    """The data of all files after all migrations; None if they are refused."""
    texts = {
        ROOT / name: yaml.safe_dump(data, allow_unicode=True, sort_keys=False, **style) for name, data in files.items()
    }
    project = Texts(ROOT, {path: text.encode() for path, text in texts.items()}, dict(texts))
    try:
        migrate(project, [NAMES, VM_SPEC, DEPLOY])
    except OvError:
        return None
    again = Texts(ROOT, {path: text.encode() for path, text in project.now.items()}, dict(project.now))
    migrate(again, [NAMES, VM_SPEC, DEPLOY])
    assert not again.changed()
    return {path.name: [one.data for one in parse_yaml(text.encode(), path.name)] for path, text in project.now.items()}


@settings(max_examples=15, phases=[Phase.generate], deadline=None, derandomize=True)
@given(FILES, STYLES)
def test_layout_decides_nothing(files: dict[str, Any], style: dict[str, Any]) -> None:
    plain, other = done(files, PLAIN), done(files, style)
    if other is not None:
        assert other == plain
    elif plain is not None:  # only braces around what gets an entry, or where each field needs a line, are refused
        assert style["default_flow_style"] is None or style["default_style"] is not None
