"""The demo VM's base image serves the tests here too: see tests/boot."""

from tests.boot.conftest import demo

__all__ = ["demo"]
