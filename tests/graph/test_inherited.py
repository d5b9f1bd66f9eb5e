"""A change in an entry that others inherit from: exactly the heirs' affected steps are stale, and `ov why` says why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.workbench import Workbench, cloud_vm, make_image

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPUKNVhYYDLU14NQxYBZrLcAz2dRRzQ8RSYVHxS1fsL3 me\n"


def write(bench: Workbench, base: dict[str, Any], defaults: dict[str, Any]) -> None:
    """``a`` and ``b`` inherit from ``.base``, ``c`` only from ``defaults``."""
    vms = {".base": base, "a": {"extends": ".base"}, "b": {"extends": "a", "disk_size": "2G"}}
    text = {"defaults": {"cloud_init": {"locale": "C.UTF-8"}, **defaults}, "vms": {**vms, "c": {**base, "ram": "1G"}}}
    (bench.root / "vms.yml").write_text(json.dumps(text, indent=1), encoding="utf-8")


def to_run(bench: Workbench) -> set[str]:
    return {step for step, state in bench.plan("--all").items() if state == "run"}


def test_heirs_are_stale_where_they_are_affected(bench: Workbench, tmp_path: Path) -> None:
    image, key = tmp_path / "small.qcow2", tmp_path / "id.pub"
    make_image(image)
    key.write_text(KEY, encoding="utf-8")
    base = cloud_vm(image, disk_size="1G", ssh={"key_source": str(key)})
    seeds = {"seed:a", "seed:b", "seed:c"}
    write(bench, base, {})
    bench.doit("build:a", "build:b", "build:c")
    assert to_run(bench) == set()
    write(bench, {**base, "ram": "3G"}, {"cpus": 3})
    assert to_run(bench) == set(), "no step reads these"
    write(bench, base, {"cloud_init": {"locale": "de_DE.UTF-8"}})
    assert to_run(bench) == seeds
    said = bench.ov("why", "seed:c").stdout
    assert "locale: C.UTF-8 → de_DE.UTF-8 (inherited from defaults, " in said
    write(bench, {**base, "disk_size": "3G"}, {})
    assert {step for step in to_run(bench) if step.startswith("disk:")} == {"disk:a", "disk:c"}
    said = bench.ov("why", "disk:a").stdout
    assert "disk_size: 1G → 3G (inherited from .base, " in said and "vms.yml:" in said
    assert "inherited by the VM:" in said and "  cloud_init.locale from defaults, " in said
    why = json.loads(bench.ov("why", "disk:a", "--json").stdout)
    assert why["inherited"]["disk_size"].startswith(".base, ")
    assert "(inherited" not in bench.ov("why", "disk:c").stdout
    write(bench, base, {})
    assert to_run(bench) == set(), "changed back"
