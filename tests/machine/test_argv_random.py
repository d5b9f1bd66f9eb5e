"""Whatever a spec says: a command line, or an error with the next step. Never a traceback, always the same words."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ovtasks.errors import InputError, InputErrors
from ovtasks.machine.qemu.argv import argv
from tests.machine.test_random_blocks import MACHINES, Choice, choices, chosen, merged
from tests.machine.test_table_argv import HOST

EXAMPLES = 500
SHAPES = {name: machine for name, machine in MACHINES.items() if not machine.boot.auto}  # that is libvirt's


def test_random_specs_are_rendered_or_refused() -> None:
    made = refused = 0

    @settings(
        max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=[*HealthCheck]
    )
    @given(choices, st.sampled_from([*SHAPES]), st.sampled_from([2, 1, 4]), st.sampled_from(["tcg", "kvm"]))
    def render(picked: list[Choice], name: str, cpus: int, accel: str) -> None:
        nonlocal made, refused
        spec: Any = {}
        for choice in picked:
            spec = merged(spec, chosen(choice), choice[2])
        before = copy.deepcopy(spec)
        of = replace(SHAPES[name], libvirt=spec, cpus=cpus, accel=accel)
        try:
            words = argv(of, HOST)
        except InputError as e:
            assert all(one.hint for one in (e.errors if isinstance(e, InputErrors) else [e]))
            refused += 1
            return
        made += 1
        assert argv(of, HOST) == words and spec == before
        ids = [part for word in words for part in word.split(",") if part.startswith(("id=", "node-name="))]
        assert len(set(ids)) == len(ids), "QEMU wants names once"

    render()
    assert made > EXAMPLES // 10 and refused > EXAMPLES // 20
