"""The demo VM's artifacts for the pages' commands."""

from __future__ import annotations

from tests.support.demo import demo

__all__ = ["demo"]
