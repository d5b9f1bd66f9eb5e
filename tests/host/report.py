"""``python -m tests.host.report``: what ``ov doctor --json`` says, without libvirt; for the system's bare Python."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from ovtasks.host.doctor import checks, examine

if __name__ == "__main__":
    json.dump([asdict(finding) for finding in examine(checks(Path.cwd() / "output"))], sys.stdout)
