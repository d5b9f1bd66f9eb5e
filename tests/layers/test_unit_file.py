"""Services as text for systemd."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from ovtasks.errors import InputError
from ovtasks.layers.kinds.services import Services
from ovtasks.layers.operation import Gate, Operation
from ovtasks.values.jsonvalue import Json
from tests.layers.layers import layer, operations
from tests.support.programs import attempt

EXEC: Mapping[str, Json] = {"name": "app", "exec": "/usr/bin/app"}


def one(*services: Mapping[str, Json], **more: Mapping[str, str]) -> Operation:
    return operations(Services(), layer(services=services, **more))[-1]  # type: ignore[arg-type]


def text(operation: Operation, name: str = "unit") -> str:
    contents = [upload.content for upload in operation.uploads if upload.name == name]
    return contents[0].decode() if contents and isinstance(contents[0], bytes) else ""


def lines(service: Mapping[str, Json], **more: Mapping[str, str]) -> list[str]:
    return text(one(service, **more)).splitlines()


def test_a_whole_unit() -> None:
    service: dict[str, Json] = {
        **EXEC,
        "restart": "unless-stopped",
        "working_directory": "%(ENV_HOME)s/50% done",
        "user": "${USER}",
        "after": ["network-online.target", "db"],
        "before": "web.target",
        "stdout": "file:/var/log/app/out",
        "stop_timeout": 30,
        "stop_signal": "int",
        "exit_codes": "0,2",
        "start_retries": 4,
        "start_secs": 3,
        "env": {"PORT": 8080, "GREETING": 'a "$5" \\ day', "FLAG": True},
        "enable": True,
        "scope": "system",
    }
    operation = one(service)
    assert text(operation) == (
        "[Unit]\n"
        "Description=app of the layer x\n"
        "Wants=network-online.target\n"
        "After=network-online.target db.service\n"
        "Before=web.target\n"
        "StartLimitBurst=5\n"
        "StartLimitIntervalSec=25\n"
        "\n[Service]\n"
        "EnvironmentFile=-/etc/environment\n"
        "EnvironmentFile=/etc/systemd/system/ov-x-app.env\n"
        "Type=exec\n"
        "ExecStart=/usr/bin/app\n"
        "User=ada\n"
        "WorkingDirectory=/home/ada/50%% done\n"
        "Restart=always\n"
        "RestartSec=1\n"
        "StandardOutput=append:/var/log/app/out\n"
        "TimeoutStopSec=30\n"
        "KillSignal=SIGINT\n"
        "SuccessExitStatus=0 2\n"
        "\n[Install]\n"
        "WantedBy=multi-user.target\n"
    )
    assert text(operation, "env") == 'PORT="8080"\nGREETING="a \\"\\$5\\" \\\\ day"\nFLAG="true"\n'
    assert operation.gate is Gate.SERVICE
    assert operation.name == "service ov-x-app.service"
    assert {upload.name: upload.mode for upload in operation.uploads} == {"unit": 0o644, "env": 0o600}


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("/usr/bin/app --a 'b c' \"d\"", '/usr/bin/app --a "b c" d'),
        ("ollama serve", "/usr/bin/env ollama serve"),
        ("%(ENV_HOME)s/bin/x $HOME ${HOME}/y", "/home/ada/bin/x /home/ada /home/ada/y"),
        ("~/bin/x", "/home/ada/bin/x"),
        ("/bin/x 100% $5 a\\$b", '/bin/x 100%% $$5 "a${b}"'),
        ("/bin/x --port ${PORT} ${OTHER}/z", '/bin/x --port 81 "${OTHER}/z"'),
        ('bash -c \'T=$(cat "${F}"); exec x --t="$T" --h=$HOME 2>&1 | y\'', None),
        ("/bin/x 'it''s' \"a;b\" ; c", "error"),
        ("/bin/x && y", "error"),
        ("/bin/x | y", "error"),
        ("/bin/x > /tmp/log", "error"),
        ("/bin/x http://h/?a=1&b=2;c", '/bin/x "http://h/?a=1&b=2;c"'),
        ("/bin/x '", "error"),
        ("-/bin/x", "error"),
        ("./x", "error"),
        ("/bin/x 'a\nb\\c'", '/bin/x "a\\nb\\\\c"'),
    ],
)
def test_commands(command: str, line: str | None) -> None:
    service: dict[str, Json] = {"name": "app", "exec": command, "env": {"PORT": "81"}}
    if line == "error":
        with pytest.raises(InputError) as caught:
            one(service)
        assert caught.value.where is not None and caught.value.where.line == 52
        return
    if line is None:
        line = '/usr/bin/env bash -c "T=$$(cat \\"$${F}\\"); exec x --t=\\"$$T\\" --h=/home/ada 2>&1 | y"'
    assert f"ExecStart={line}" in lines(service)


@pytest.mark.parametrize(
    ("written", "systemd"),
    [(None, "no"), ("no", "no"), (False, "no"), ("on-failure", "on-failure"), ("always", "always"), (True, "always")],
)
def test_restart(written: Json, systemd: str) -> None:
    assert f"Restart={systemd}" in lines(EXEC if written is None else {**EXEC, "restart": written})


def test_variables_of_the_layer_are_known() -> None:
    service: dict[str, Json] = {"name": "app", "exec": "/bin/x ${DIR} ${V}", "env": {"D2": "${DIR}/2", "D3": "~/3:$D2"}}
    operation = one(service, env={"DIR": "~/d"}, variables={"V": "1.2"})
    assert "ExecStart=/bin/x /home/ada/d 1.2" in text(operation)
    assert text(operation, "env") == 'D2="/home/ada/d/2"\nD3="/home/ada/3:/home/ada/d/2"\n'


def test_secrets_are_in_no_unit() -> None:
    service: dict[str, Json] = {"name": "app", "exec": "/bin/x ${KEY} $MINE $PLAIN", "env": {"MINE": "<${KEY}>"}}
    one = layer(env={"KEY": "${TOKEN}", "PLAIN": "$$HOME"}, services=[service])
    (operation,) = operations(Services(), one, secrets={"TOKEN": "s3cret"})
    assert 'ExecStart=/bin/x "${KEY}" "${MINE}" $$HOME\n' in text(operation)
    assert text(operation, "env") == 'KEY="s3cret"\nMINE="<s3cret>"\n'
    assert "s3cret" not in text(operation) + operation.do + operation.look + operation.save + operation.undo


def test_user_scope() -> None:
    found = operations(Services(), layer(services=[{**EXEC, "scope": "user", "env": {"A": "b"}}]))
    assert [operation.user for operation in found] == ["root", "ada"]
    assert [operation.name for operation in found] == [
        "services of ada run without a login",
        "user service ov-x-app.service",
    ]
    unit = text(found[1])
    assert "EnvironmentFile=/home/ada/.config/systemd/user/ov-x-app.env\n" in unit
    assert "User=" not in unit and "/etc/environment" not in unit
    assert unit.endswith("[Install]\nWantedBy=default.target\n")


def test_packaged_comes_before_exec_of_its_name() -> None:
    found = operations(
        Services(),
        layer(
            services=[
                {"name": "sshd", "use_packaged": "sshd.service"},
                {"name": "sshd", "exec": "/usr/local/bin/sshd-wrapper", "priority": 3, "start_secs": 1},
            ]
        ),
    )
    assert [one.name for one in found] == ["service sshd.service (the exec of its name is for containers)"]
    assert found[0].uploads == ()


def test_drop_in() -> None:
    packaged: dict[str, Json] = {
        "name": "db",
        "use_packaged": "postgresql",
        "restart": "always",
        "priority": 5,
        "overrides": {"env": {"PGDATA": "/srv/my db"}, "after": ["network-online.target"], "exec": "/usr/bin/pg -D x"},
    }
    operation = one(packaged)
    assert operation.name == "service postgresql.service (without effect: priority)"
    assert text(operation) == (
        "[Unit]\nWants=network-online.target\nAfter=network-online.target\n\n"
        "[Service]\nEnvironmentFile=/etc/systemd/system/ov-x-db.env\nExecStart=\nExecStart=/usr/bin/pg -D x\n"
        "Restart=always\nRestartSec=1\n"
    )
    assert text(operation, "env") == 'PGDATA="/srv/my db"\n'


@pytest.mark.parametrize(
    ("services", "message", "line"),
    [
        ([{"name": "a"}], "service a needs one of exec and use_packaged", 50),
        ([{**EXEC, "use_packaged": "b"}], "needs one of exec and use_packaged", 52),
        ([{**EXEC, "overrides": {"exec": "/x"}}], "overrides change a packaged unit", 53),
        ([EXEC, EXEC], "two services of the layer are ov-x-app.service", 61),
        ([{"name": "a", "use_packaged": "getty@"}], "is a template, which cannot run", 52),
        ([{"name": "a", "use_packaged": "a.socket", "overrides": {"env": {"A": "b"}}}], "runs no program", 53),
        ([{**EXEC, "restart": "sometimes"}], "restart is 'sometimes'", 53),
        ([{**EXEC, "stop_timeout": "soon"}], "stop_timeout is not a time", 53),
        ([{**EXEC, "stop_signal": "%s"}], "stop_signal is not a signal", 53),
        ([{**EXEC, "exit_codes": "0,x"}], "exit_codes are numbers", 53),
        ([{**EXEC, "stdout": "file:x"}], "stdout is 'file:x'", 53),
        ([{**EXEC, "working_directory": "x"}], "working_directory must be absolute", 53),
        ([{**EXEC, "start_secs": "x"}], "start_secs is a whole number", 53),
        ([{**EXEC, "after": ["a b"]}], "not a valid unit name", 53),
        ([{**EXEC, "env": {"A": "${NOBODY}"}}], "nothing says what ${NOBODY} in the value of A stands for", 53),
        ([{**EXEC, "scope": "user", "user": "root"}], "a service of scope user runs as ada", 54),
    ],
)
def test_mistakes(services: list[Mapping[str, Json]], message: str, line: int) -> None:
    with pytest.raises(InputError) as caught:
        operations(Services(), layer(services=services))
    assert message in str(caught.value)
    assert caught.value.where is not None and caught.value.where.line == line


def test_event_listeners_are_skipped() -> None:
    from ovtasks.layers.context import LayerContext
    from tests.layers.layers import DEBIAN

    listener = layer(services=[{**EXEC, "kind": "eventlistener", "events": "PROCESS_STATE_FATAL"}])
    context = LayerContext(listener, DEBIAN)
    assert list(Services().layer(listener, context)) == []
    assert [skipped.what for skipped in context.skipped] == ["service app"]


@pytest.mark.parametrize("field", ["enable", "auto_start"])
def test_not_enabled(field: str) -> None:
    operation = one({**EXEC, field: False})
    assert "ov_unit_settle" in operation.do and "ov_unit_begin" not in operation.do


def test_systemd_takes_what_is_written(tmp_path: Path) -> None:
    services: list[Mapping[str, Json]] = [
        {
            **EXEC,
            "name": "a",
            "exec": "/bin/sh -c 'echo \"$HOME\" 100%; sleep 1'",
            "env": {"A": "b c"},
            "stdout": "none",
        },
        {"name": "b", "exec": "env", "after": ["a"], "stop_signal": "HUP", "exit_codes": [1, 2], "start_retries": 2},
    ]
    for operation in operations(Services(), layer(services=services)):
        unit = operation.name.split()[1]
        (tmp_path / unit).write_text(text(operation), encoding="utf-8")
        found = attempt("systemd-analyze", "verify", str(tmp_path / unit))
        assert (found.returncode, found.stdout + found.stderr) == (0, "")
