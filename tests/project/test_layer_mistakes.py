"""What is wrong in layer files: each mistake has a message, a place and, if there is one, a hint."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from ovtasks.errors import InputError
from ovtasks.project.layer_file import read_layer
from ovtasks.project.schema import Checker
from tests.support.projects import write

CHECKER = Checker()


def wrong(folder: Path, text: str) -> list[InputError]:
    layer, errors = read_layer(write(folder, dedent(text), "layers/tool/layer.yml"), CHECKER)
    assert errors and layer is None
    return errors


@pytest.mark.parametrize(
    ("text", "message", "hint", "where"),
    [
        # keys
        ("taks: []", "unknown key 'taks' in the top level", "did you mean 'tasks'?", (1, 1)),
        ("layer:\n  taks: []", "unknown key 'taks' in the top level", "did you mean 'tasks'?", (2, 3)),
        ("requires: [a]\ndepends: [b]", "'depends' and 'requires' mean the same", "stands at", (2, 1)),
        ("eval: []\nname: tool\ntests: []", "'tests' and 'eval' mean the same", ":1:1; make one", (3, 1)),
        ("distros: {fedora: {package: [a], packages: [b]}}", "'packages' and 'package' mean", "1:20", (1, 34)),
        ("distros: {debian-13: {}, 'debian:13': {}}", "'debian:13' and 'debian-13' mean", "1:11", (1, 26)),
        ("debian: {}\ndistros: {debian: {}}", "'debian' appears twice", "2:11", (1, 1)),
        ("archlinux: {}\narch: {}", "'arch' and 'archlinux' mean the same", "1:1", (2, 1)),
        ("layer: {}\nname: tool", "'name' is beside 'layer:'", "move it below layer:", (2, 1)),
        ("layer: text", "the top level must be a mapping, not 'text'", "", (1, 8)),
        ("[a]", "the top level must be a mapping, not a list", "", (1, 1)),
        ("name: other", "calls itself 'other', but its folder is tool", "folder", (1, 7)),
        ("a: 1\n---\nb: 1", "a layer is one document", "layers/<name>/layer.yml", (3, 1)),
        ("[", "not YAML", "", (2, 1)),
        # sections
        ("distros: {debain: {}}", "'debain' is not a distribution", "did you mean 'debian'?", (1, 11)),
        ("fedroa: {}", "'fedroa' is not a distribution", "did you mean 'fedora'?", (1, 1)),
        ("distros: {'ubunut:24.04': {}}", "'ubunut:24.04' is no", "did you mean 'ubuntu:24.04'?", (1, 11)),
        ("distros: {'debian,Ubuntu': {}}", "'Ubuntu' is not a distribution", "for example debian", (1, 11)),
        ("distros: {fedora: [a]}", "distros.fedora must be a mapping, not a list", "", (1, 19)),
        ("distros: {fedora: {pakages: []}}", "'pakages' in distros.fedora", "did you mean 'packages'?", (1, 20)),
        ("rpm: {packages: a}", "rpm.packages must be a list, not 'a'", "", (1, 17)),
        ("packages: [{nam: a}]", "unknown key 'nam' in packages[0]", "did you mean 'name'?", (1, 13)),
        ("deb: {repos: [{name: a, ulr: b}]}", "'ulr' in deb.repos[0]", "did you mean 'url'?", (1, 25)),
        ("deb: {repos: [{name: ../a}]}", "'../a' is not a valid repository name", "", (1, 22)),
        ("deb: {repos: [{key_sha256: abc}]}", "'abc' is not a sha256: 64 hex digits", "", (1, 28)),
        ("distros: {'a,b': {aur: {packages: [x]}}, a: {aur: {packages: [y]}}}", "'aur' also appears", "one", (1, 51)),
        # tasks
        ("tasks: [{cmdd: a}]", "tasks[0] does not say what to do", "did you mean 'cmd' for 'cmdd'?", (1, 9)),
        ("tasks: [{user: root}]", "tasks[0] does not say what to do", "one of cmd, mkdir, copy", (1, 9)),
        ("tasks: [{cmd: a, mkdir: b}]", "has cmd and mkdir", "make a task of each", (1, 18)),
        ("tasks: [{cmd: a, mode: 0755}]", "unknown key 'mode' in tasks[0]", "known keys: cmd", (1, 18)),
        ("tasks: [a]", "tasks[0] must be a mapping, not 'a'", "", (1, 9)),
        ("tasks: [{mkdir: /a, mode: 0999}]", "'0999' is not a mode: three or four octal digits", "0755", (1, 27)),
        ("tasks: [{write: /a, mode: rwx}]", "'rwx' is not a mode", "", (1, 27)),
        ("tasks: [{write: /a, mode: 1}]", "'1' is not a mode", "", (1, 27)),
        ("tasks: [{link: /a}]", "the link has no target", "target:", (1, 9)),
        ("tasks: [{link: /a, to: /b, target: /b}]", "'to' and 'target' mean the same", "", (1, 24)),
        ("tasks: [{download: u, extract: rar}]", "extract must be one of none, tar", "did you mean 'tar'?", (1, 32)),
        ("tasks: [{download: u, checksum: 1}]", "'1' is not a checksum", "", (1, 33)),
        ("tasks: [{cmd: ''}]", "tasks[0].cmd must not be empty", "", (1, 15)),
        ("tasks: [{cmd: a, user: ''}]", "tasks[0].user must not be empty", "", (1, 24)),
        ("task: [{mkdir: /a, mode: 9}]", "task[0].mode: '9' is not a mode", "", (1, 26)),
        ("task: [{mkdri: /a}]", "task[0] does not say what to do", "'mkdir'", (1, 8)),
        ("distro: {fedora: {repo: [{nam: a}]}}", "'nam' in distro.fedora.repo[0]", "'name'", (1, 27)),
        # services, environment, checks
        ("service: [{exec: a}]", "'name' is missing in service[0]", "Its name", (1, 11)),
        ("service: [{name: a}]", "'a' has neither use_packaged nor exec", "use_packaged", (1, 11)),
        ("service: [{name: a, exec: b, use_packaged: c}]", "both use_packaged and exec", "", (1, 27)),
        ("service: [{name: a, exec: b, overrides: {}}]", "overrides need use_packaged", "", (1, 41)),
        ("service: [{name: a, exec: b, restart: allways}]", "restart must be one of", "'always'", (1, 39)),
        ("service: [{name: a, exec: b, stdout: f}]", "'f' is not an output: journal, none, or file:", "", (1, 38)),
        ("service: [{name: a, exec: b, exce: c}]", "unknown key 'exce'", "did you mean 'exec'?", (1, 30)),
        ("service: [{name: a/b, exec: b}]", "'a/b' is not a valid service name", "", (1, 18)),
        ("env: [A=b]", "env must be a mapping, not a list", "", (1, 6)),
        ("env: {A-B: c}", "env: 'A-B' is not a valid variable name", "", (1, 7)),
        ("env: {PATH: /bin}", "PATH is not set by env", "path_append", (1, 7)),
        ("shell: {bsh: {}}", "unknown key 'bsh' in shell", "did you mean 'bash'?", (1, 9)),
        ("eval: [{id: a}]", "a check is about one thing, but it has none", "one of file, package", (1, 8)),
        ("eval: [{file: a, port: 1}]", "but it has file and port", "", (1, 8)),
        ("eval: [{file: a, exits: true}]", "unknown key 'exits' in eval[0]", "did you mean 'exists'?", (1, 18)),
        ("secrets: [{nam: a}]", "unknown key 'nam'", "did you mean 'name'?", (1, 12)),
        ("artifacts: [{name: a, path: b}]", "'retrieve_to' is missing in artifacts[0]", "", (1, 13)),
        ("reboot: maybe", "reboot must be true or false", "", (1, 9)),
        # XML
        ("libvirt: [<zzz/>]", "no element <zzz>", "", (1, 11)),
    ],
)
def test_mistakes(text: str, message: str, hint: str, where: tuple[int, int], tmp_path: Path) -> None:
    found = [error for error in wrong(tmp_path, text) if message in error.message]
    assert len(found) == 1, "\n".join(map(str, wrong(tmp_path, text)))
    assert hint in (found[0].hint or "")
    assert found[0].where is not None
    assert Path(found[0].where.file).parts[-2:] == ("tool", "layer.yml")
    assert (found[0].where.line, found[0].where.column) == where


def test_all_mistakes_are_found_at_once(tmp_path: Path) -> None:
    text = "taks: []\nname: other\ntasks: [1, {cmdd: a}, {mkdir: /a, mode: 9}]\nservice: [{name: a}]"
    assert [error.where.line for error in wrong(tmp_path, text) if error.where] == [1, 3, 3, 3]
    text = text.replace("taks: []\n", "").replace("1, ", "")
    assert [error.where.line for error in wrong(tmp_path, text) if error.where] == [1, 2, 2, 3]
