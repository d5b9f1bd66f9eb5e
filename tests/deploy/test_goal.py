"""doit deploy:<name>: the same as a step of the graph."""

from __future__ import annotations

import argparse
import json
import sys

import pytest

from ovtasks.cli.build import run_goals
from ovtasks.cli.common import open_project
from ovtasks.graph.chains import Graph
from tests.deploy.guest import Guest
from tests.deploy.test_deploy import OTHER, three
from tests.support.programs import attempt


def doit(guest: Guest, *goals: str, code: int = 0) -> str:
    """Run goals; returns what was said."""
    guest.settle()
    guest.capsys.readouterr()
    graph = Graph(open_project(argparse.Namespace(directory=guest.project)))
    status = run_goals(graph, goals)
    said = guest.capsys.readouterr()
    assert status == code, said.err
    return said.err


@pytest.mark.slow  # a guest that nobody knows
def test_deploy_and_nothing_to_do(guest: Guest) -> None:
    three(guest)
    said = doit(guest, "deploy:web-vm")
    assert "tools: applied" in said and "deploy:web-vm" in said and guest.file("/srv/other") == "other"
    guest.connections()
    assert "nothing to do" in doit(guest, "deploy:web-vm") and guest.connections() == 0
    guest.layer("other", OTHER.replace("content: other", "content: new"))
    said = doit(guest, "deploy")
    assert "other: applied" in said and "tools: applied" not in said and guest.file("/srv/other") == "new"
    guest.off()
    assert "nothing to do" in doit(guest, "deploy:web-vm")


@pytest.mark.slow  # a guest that nobody knows
def test_doitw_answers_from_stat_alone(guest: Guest) -> None:
    three(guest)
    (guest.project / "pyproject.toml").write_text('[tool.doit]\nloader = "ovtasks"\n')
    guest.ov("deploy", "add", "web-vm")
    guest.ov("deploy", "add", "web-vm")  # the files are no longer young
    run = "import sys; sys.argv[0] = 'doit'; from ovtasks.cli import {0}; sys.exit({0}())"

    def known() -> tuple[int, str]:
        done = attempt(sys.executable, "-c", run.format("doit_known"), "deploy:web-vm", cwd=guest.project)
        return done.returncode, done.stdout

    assert known() == (1, "")
    done = attempt(sys.executable, "-c", run.format("doit"), "deploy:web-vm", cwd=guest.project)
    assert (done.returncode, done.stdout) == (0, "-- deploy:web-vm\n"), done.stderr
    assert known() == (0, "-- deploy:web-vm\n")
    guest.layer("other", OTHER.replace("content: other", "content: new"))
    assert known() == (1, "")


def test_gates_and_the_plan_of_a_vm_that_does_not_exist(guest: Guest) -> None:
    three(guest)
    guest.deploy_yml("deploy:\n  db: {target: vm, vm: db, add_layers: [base]}\n")
    vms = "vms:\n  db: {source: {kind: bootstrap, distro: debian}, disk_size: 2G}\n"
    (guest.project / "vms.yml").write_text(vms)
    assert "allow_root_tasks: true in install_opts of db" in doit(guest, "deploy:db", code=3)
    assert not (guest.project / "output" / "db").exists()  # nothing was built for it
    plan = guest.ov("plan", "deploy:db")
    assert "run " in plan and "db: does not exist: it is built and created" in plan and "apply  base" in plan
    found = json.loads(guest.ov("plan", "deploy:db", "--json"))
    assert found["steps"] and found["deployments"][0]["creates"]
    assert "not created" in guest.ov("deploy", "list")
