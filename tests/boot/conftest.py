"""The demo VM's artifacts for all boot tests of the session."""

from __future__ import annotations

from tests.boot.project import project, user
from tests.support.demo import demo

__all__ = ["demo", "project", "user"]
