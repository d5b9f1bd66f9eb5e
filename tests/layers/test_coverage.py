"""The table of what is carried out, over small layers that have the shapes of real ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.layers.coverage import SYSTEMS, coverage, reasons, table
from tests.support.projects import write

EVERYWHERE = {
    "base": "packages: [curl, {name: git, description: for clones}]\n",
    "sections": """
        distros:
          fedora: {packages: [fd-find], copr: [owner/project], repos: [{name: x, url: "https://x.example/x.repo"}]}
          "debian,ubuntu": {packages: [fd-find]}
          ubuntu-24.04:
            packages: [fd-find]
            repos: [{name: x, url: "https://x.example/deb", suite: noble, components: main, key: "https://x.example/k"}]
          archlinux: {packages: [fd], aur: {packages: [fd-git], replaces: [fd]}}
        """,
    "nodejs": 'env: {NPM_CONFIG_PREFIX: "~/.npm-global"}\npath_append: ["~/.npm-global/bin"]\npackages: [nodejs]\n',
    "pixi": 'tasks: [{download: "https://x.example/pixi-${BUILD_ARCH}.tar.gz", extract: tar.gz, to: /usr/local/bin}]\n',
    "rust": "tasks: [{cmd: sh rustup.sh, user: '${USER}', uninstall: [rm -rf ~/.cargo]}]\n",
    "tool": "requires: [nodejs]\n",
    "python": "description: an environment\n",
    "crate": "{}\n",
    "files": """
        vars: {PLACE: /opt/files}
        tasks:
          - mkdir: ${PLACE}
          - {copy: one, to: "${PLACE}/one", mode: "0755"}
          - {write: "${HOME}/.config/x", content: "x = 1\\n", user: "${USER}"}
          - {link: /usr/local/bin/one, target: "${PLACE}/one"}
          - {setcap: "${PLACE}/one", caps: cap_net_raw+ep}
        shell: {init: "alias one=two", path_append: ["~/bin"], fish: {init: "alias one two"}}
        """,
    "service": """
        requires: [files]
        ports: [8080]
        volumes: [{name: data, path: /data}]
        service:
          - {name: app, exec: "%(ENV_HOME)s/bin/app --port 8080", restart: always, scope: user, env: {A: b}}
          - {name: db, use_packaged: postgresql, overrides: {env: {A: b}}}
        eval:
          - {id: app, service: app, running: true, scope: deploy}
          - {addr: "127.0.0.1:${HOST_PORT:8080}", reachable: true, timeout: 5s, scope: deploy}
        """,
    "secret": "secret_requires: [{name: TOKEN}]\nenv: {AUTH: 'Bearer ${TOKEN}'}\n",
    "all": "layers: [tool, python, crate, service, secret]\n",
}
NOT_EVERYWHERE = {
    "debian-only": "distros: {debian: {packages: [apt-file]}}\n",
    "above": "requires: [debian-only]\n",
    "needs-absent": "requires: [not-here]\npackages: [x]\n",
    "listener": "service: [{name: x, exec: x, kind: eventlistener, events: TICK_5}]\n",
    "wrong": "tasks: [{copy: nothing-here}]\n",
    "unreadable": "tasks: [{cmdd: x}]\n",
}


def project(folder: Path) -> Path:
    for name, text in (EVERYWHERE | NOT_EVERYWHERE).items():
        write(folder, text, f"layers/{name}/layer.yml")
    write(folder, '{"dependencies": {"@x/tool": "*"}}', "layers/tool/package.json")
    write(folder, '[workspace]\nplatforms = ["linux-64"]\n', "layers/python/pixi.toml")
    write(folder, '[package]\nname = "crate"\n', "layers/crate/Cargo.toml")
    write(folder, "one", "layers/files/one")
    return folder


def test_what_is_carried_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = coverage(project(tmp_path))
    with capsys.disabled():
        print("\n" + table(found) + "\n" + reasons(found))
    for system in SYSTEMS:
        whole = {name for name in found.missing if found.whole(name, system)}
        more = {"debian-only", "above"} if system in {"debian-13", "ubuntu-24.04"} else set()
        assert whole == EVERYWHERE.keys() | more, system
        assert found.whole("needs-absent", system, lenient=True)
    assert found.absent == {"not-here"}
    assert found.needs["tool"] == ["nodejs"] and found.needs["python"] == ["pixi"] and found.needs["crate"] == ["rust"]
    rows = {line[:14].strip(): line[14:].split() for line in table(found).splitlines()}
    assert rows["fedora"] == rows["archlinux"] == ["14", "12", "13"] and rows["debian-13"] == ["15", "14", "15"]
    assert rows["on one of them"] == ["15", "14", "15"]
    assert "unreadable: " in reasons(found) and "above: " not in reasons(found)
