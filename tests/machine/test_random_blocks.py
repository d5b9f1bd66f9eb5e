"""Whatever a spec says: XML that libvirt's schema accepts, or an error that names the field. Never a traceback, and the
same spec gives the same bytes."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ovtasks.errors import InputError, InputErrors
from ovtasks.host.run import run
from ovtasks.machine.xml.domain import domain_xml
from tests.machine.hosts import EVERYTHING, versions
from tests.machine.test_table import DOMAIN_RNG
from tests.machine.walk import LEAVES, spec_with, spec_wrong
from tests.support.machines import shapes

EXAMPLES = 2000
MACHINES = {name: shapes()[name] for name in ("plain", "seed", "auto-secure", "forwards")}
Choice = tuple[int, int, bool]
"""Which field, which of its values, and whether lists get longer."""

choices = st.lists(st.tuples(st.integers(0, len(LEAVES) - 1), st.integers(0, 9), st.booleans()), min_size=1, max_size=6)


def chosen(choice: Choice) -> dict[str, Any]:
    """A spec with the field; one value in ten is wrong."""
    leaf = LEAVES[choice[0]]
    kind = leaf.field.kind
    if choice[1] == 9 and kind.wrong:
        return spec_wrong(leaf, kind.wrong[choice[0] % len(kind.wrong)])
    return spec_with(leaf, kind.samples[choice[1] % len(kind.samples)])


def merged(base: Any, more: Any, append: bool) -> Any:
    """Both specs in one: lists get longer, or their first items are merged."""
    if isinstance(base, dict) and isinstance(more, dict):
        return {
            key: merged(base[key], more[key], append) if key in base and key in more else base.get(key, more.get(key))
            for key in [*base, *(key for key in more if key not in base)]
        }
    if isinstance(base, list) and isinstance(more, list):
        if append or not (base and more and isinstance(base[0], dict)):
            return [*base, *more]
        return [merged(base[0], more[0], append), *base[1:]]
    return more


@pytest.mark.slow
def test_random_specs_are_rendered_or_refused(tmp_path: Path) -> None:
    host, refused = replace(EVERYTHING, version=versions()), 0
    files: list[Path] = []

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[*HealthCheck],
    )
    @given(choices, st.sampled_from([*MACHINES]), st.sampled_from([2, 1, 4]))
    def render(picked: list[Choice], name: str, cpus: int) -> None:
        nonlocal refused
        spec: Any = {}
        for choice in picked:
            spec = merged(spec, chosen(choice), choice[2])
        before = copy.deepcopy(spec)
        of = replace(MACHINES[name], libvirt=spec, cpus=cpus)
        try:
            text = domain_xml(of, host)
        except InputError as e:
            for one in e.errors if isinstance(e, InputErrors) else [e]:
                assert one.field is not None and one.hint
            refused += 1
            return
        assert domain_xml(of, host) == text and spec == before
        files.append(tmp_path / f"{len(files)}.xml")
        files[-1].write_text(text, encoding="utf-8")

    render()
    assert len(files) > EXAMPLES // 4 and refused > EXAMPLES // 20
    done = run(["xmllint", "--noout", "--relaxng", DOMAIN_RNG, *files], check=False, timeout=300)
    said = done.stdout + done.stderr
    assert [line for line in said.splitlines() if not line.endswith(" validates")] == []
