"""The demo VM's base image serves the tests here too; whichever folder's tests come first build it."""

from tests.boot.conftest import demo

__all__ = ["demo"]
