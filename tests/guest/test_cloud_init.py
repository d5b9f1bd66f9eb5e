"""``cloud-init status`` as its versions print it."""

from __future__ import annotations

import json

import pytest

from ovtasks.guest.cloud_init import CloudInitState, parse

DONE_22 = json.dumps(
    {
        "boot_status_code": "enabled-by-generator",
        "datasource": "nocloud",
        "detail": "DataSourceNoCloud [seed=/dev/vdb][dsmode=net]",
        "errors": [],
        "last_update": "Tue, 24 Nov 2026 04:55:01 +0000",
        "status": "done",
    }
)
DEGRADED_24 = json.dumps(
    {
        "boot_status_code": "enabled-by-generator",
        "datasource": "nocloud",
        "errors": [],
        "extended_status": "degraded done",
        "recoverable_errors": {"WARNING": ["Failed to run bootcmd module"], "DEPRECATED": ["old key"]},
        "status": "done",
    }
)
ERROR_24 = json.dumps(
    {"errors": ["('package_update', RuntimeError())"], "extended_status": "error - done", "status": "error"}
)
LONG_DONE = "status: done\nboot_status_code: enabled-by-generator\nlast_update: Tue\ndetail:\nDataSourceNoCloud\n"
LONG_ERROR = "status: error\ntime: Tue\ndetail:\n('scripts-user', RuntimeError('Runparts: 1 failures'))\n"
CASES = [
    ("absent", 0, CloudInitState.ABSENT, ""),
    (DONE_22, 0, CloudInitState.DONE, ""),
    (DEGRADED_24, 2, CloudInitState.DEGRADED, "Failed to run bootcmd module"),
    (ERROR_24, 1, CloudInitState.ERROR, "package_update"),
    (LONG_DONE, 0, CloudInitState.DONE, ""),
    (LONG_DONE, 2, CloudInitState.DEGRADED, ""),
    (LONG_ERROR, 1, CloudInitState.ERROR, "scripts-user"),
    ("status: disabled\n", 0, CloudInitState.DISABLED, ""),
    ('{"status": "disabled", "extended_status": "disabled"}', 0, CloudInitState.DISABLED, ""),
    ("status: running\n", 0, CloudInitState.RUNNING, ""),
    ("status: not run\n", 0, CloudInitState.RUNNING, ""),
    ("", 0, CloudInitState.RUNNING, ""),
    ("{broken", 0, CloudInitState.RUNNING, ""),
]


@pytest.mark.parametrize(("output", "code", "state", "error"), CASES)
def test_parse(output: str, code: int, state: CloudInitState, error: str) -> None:
    found = parse(output, code)
    assert found.state is state
    assert error in " ".join(found.errors)
