"""Options that sources declare: read by their parsers, shared by all sources, told apart from everything else."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from doit.exceptions import InvalidDodoFile

from ovtasks.cli import goals
from ovtasks.errors import InputError
from ovtasks.graph import options, plugins
from ovtasks.graph.chains import Chain, Graph
from ovtasks.graph.options import OptionsByVm
from ovtasks.graph.step import BuildOptions
from ovtasks.project.load import load_project
from ovtasks.sources.bootc.options import ROOT_SIZE, TRANSPORT
from ovtasks.sources.console import CONSOLE, console_args
from ovtasks.values.option import Option

COUNT = Option("copy-count", int, 1, "strange: 100% of them")


def strange(*declared: Option[object]) -> Sequence[plugins.SourcePlugin]:
    """The built-in sources, and one more with these options."""

    class Strange(plugins.SourcePlugin):
        kind = "strange"
        options = declared

        def steps(self, vm: Any, project: Any, options: BuildOptions) -> Sequence[Any]:
            return ()

    return (*plugins.sources(), Strange())


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch) -> None:
    """COUNT is declared, too."""
    known = strange(COUNT)
    monkeypatch.setattr(plugins, "sources", lambda: known)
    uncached = options.build_options.__wrapped__
    for module in (options, goals):
        monkeypatch.setattr(module, "build_options", uncached)


def test_values_come_from_the_declared_parser(count: None) -> None:
    said = OptionsByVm()
    said.set(None, {"copy_count": "3", "console": True, "root_size": "1G", "transport": "", "type": "raw"})
    said.set("a", {"root_size": "2G"})
    of_a, of_b = said.of("a"), said.of("b")
    assert (of_a[COUNT], of_a[ROOT_SIZE], of_a[TRANSPORT], of_a[CONSOLE]) == (3, 2 << 30, None, True)
    assert (of_b[COUNT], of_b[ROOT_SIZE], of_b.type) == (3, 1 << 30, "raw")
    assert BuildOptions()[COUNT] == 1


@pytest.mark.parametrize(
    ("values", "message", "hint"),
    [
        ({"copy_count": "x"}, "--copy-count: 'x' is not valid", "strange: 100% of them"),
        ({"root_size": "1Q"}, "--root-size: '1Q' is not a size", None),
        ({"size": "1Q"}, "--size: '1Q' is not a size", None),
        ({"transport": "nfs"}, "--transport: unknown transport 'nfs'", "one of: registry, containers-storage, oci, "),
        ({"type": "iso"}, "--type: unknown disk format 'iso'", "an ISO cannot be built; qcow2 and raw can"),
    ],
)
def test_wrong_values_name_their_option(count: None, values: dict[str, str], message: str, hint: str | None) -> None:
    with pytest.raises(InputError) as caught:
        OptionsByVm().set(None, values)
    assert caught.value.message.startswith(message)
    assert (caught.value.hint or "").startswith(hint or "")


@pytest.mark.parametrize("declared", [Option("console", bool, False, "again"), Option("size", int, 0, "how many")])
def test_one_name_means_one_thing(monkeypatch: pytest.MonkeyPatch, declared: Option[object]) -> None:
    known = strange(declared)
    monkeypatch.setattr(plugins, "sources", lambda: known)
    monkeypatch.setattr(options, "build_options", options.build_options.__wrapped__)
    for find, error in ((options.build_options, InputError), (options.build_params.__wrapped__, InvalidDodoFile)):
        with pytest.raises(error, match=f"--{declared.name} of source.kind strange has another meaning"):
            find()


def test_an_option_may_be_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    known = strange(CONSOLE)
    monkeypatch.setattr(plugins, "sources", lambda: known)
    assert options.build_options.__wrapped__() == options.build_options()


def test_the_command_line_shows_it_and_hands_it_on(count: None, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("copy_count")
    goals.add_build_options(parser)
    args = parser.parse_args(["word", "--copy-count", "7", "--console"])
    assert args.copy_count == "word"
    assert sorted(goals.build_words(args)) == ["--console", "--copy-count=7"]
    assert "--copy-count COUNT" in parser.format_help() and "strange: 100% of them" in parser.format_help()


def test_an_option_of_ov_cannot_be_taken(count: None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--copy-count")
    with pytest.raises(InputError, match="--copy-count is an option of ov already"):
        goals.add_build_options(parser)


VMS: dict[str, dict[str, Any]] = {
    "cloud_image": {"source": {"kind": "cloud_image", "url": "https://example.org/x.qcow2"}},
    "bootc": {"source": {"kind": "bootc", "image": "quay.io/example/os:1"}, "disk_size": "20G", "cloud_init": {}},
    "bootstrap": {"source": {"kind": "bootstrap"}, "disk_size": "4G"},
    "imported": {
        "source": {"kind": "imported", "libvirt_name": "x", "disk_path": "/x.qcow2", "disk_format": "qcow2"},
        "cloud_init": {},
    },
}


LABELS = {
    "cloud_image": {"verify": "downloaded file", "disk": "base image", "seed": "ssh key"},
    "bootc": {"install": "ssh key", "seed": "ssh key"},
    "bootstrap": {"disk": "base image", "seed": "ssh key"},
    "imported": {"disk": "base image", "seed": "ssh key"},
}
"""What reasons call the step that a step needs, by the verb of the latter."""


@pytest.mark.parametrize("kind", VMS)
def test_the_declared_verbs_and_labels_are_those_of_the_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    vm = {**VMS[kind], "ssh": {"key_source": "generate"}}
    (tmp_path / "vms.yml").write_text(yaml.safe_dump({"vms": {"a": vm}}), encoding="utf-8")
    project = load_project(tmp_path, cache=False)
    source = plugins.source(kind)
    steps = [s for t in options.TYPES for s in source.steps(project.vms["a"], project, BuildOptions(t))]
    verbs = {step.verb for step in steps}
    assert verbs == {*source.verbs} - ({"base"} if kind == "bootc" else set())  # of images that are built here
    assert {step.verb: label for step in steps for label in step.labels.values()} == LABELS[kind]
    assert {key for step in steps for key in step.labels} <= verbs


def chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vm: dict[str, Any], **given: object) -> Chain:
    """The chain of the VM ``a`` with these values of the command line."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    text = yaml.safe_dump({"vms": {"a": {"ssh": {"key_source": "none"}, **vm}}})
    (tmp_path / "vms.yml").write_text(text, encoding="utf-8")
    said = OptionsByVm()
    said.set(None, given)
    return Graph(load_project(tmp_path, cache=False), said).chain("a")


@pytest.mark.parametrize(
    ("written", "plain", "asked"),
    [
        (None, [], [*console_args(())]),
        ("quiet", ["quiet"], [*console_args(()), "quiet"]),
        ("console=ttyS1 quiet", ["console=ttyS1", "quiet"], ["console=ttyS1", "quiet"]),
    ],
)
def test_console_of_a_bootc_vm_is_in_its_kernel_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str | None, plain: list[str], asked: list[str]
) -> None:
    """The disk is another one with it; without it, it is as it was before the option had this effect."""
    source = {**VMS["bootc"]["source"], **({"kernel_args": written} if written else {})}
    for given, words in (({}, plain), ({"console": True}, asked)):
        steps = chain(tmp_path, monkeypatch, {**VMS["bootc"], "source": source}, **given).steps
        (install,) = (step for step in steps if step.verb == "install")
        assert install.inputs["kernel_args"] == words


def test_console_of_a_bootstrap_vm_changes_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its kernel talks on the serial port in any case."""
    both = [chain(tmp_path, monkeypatch, VMS["bootstrap"], console=on).steps for on in (False, True)]
    assert [(s.name, s.inputs) for s in both[0]] == [(s.name, s.inputs) for s in both[1]]


def test_console_of_a_cloud_image_is_an_error_that_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"--console cannot be had for a: .* is inside its disk") as caught:
        chain(tmp_path, monkeypatch, VMS["cloud_image"], console=True)
    assert caught.value.where is not None and caught.value.where.line
    assert caught.value.hint is not None and "ov vm console" in caught.value.hint and "bootcmd" in caught.value.hint


def test_console_of_a_plugin_that_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (plugin,) = (found for found in strange() if found.kind == "strange")
    monkeypatch.setattr(plugins, "source", lambda kind: plugin)
    with pytest.raises(InputError, match="--console has no meaning for a, whose source is strange") as caught:
        chain(tmp_path, monkeypatch, VMS["cloud_image"], console=True)
    assert caught.value.hint == "leave --console out"
