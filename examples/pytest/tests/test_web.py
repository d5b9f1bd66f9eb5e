"""What holds in the guest."""

from tests.conftest import Vm


def test_is_linux(vm: Vm) -> None:
    assert vm.run("uname").stdout == "Linux\n"


def test_keeps_files(vm: Vm) -> None:
    vm.run("echo hello >note")
    assert vm.run("cat note").stdout == "hello\n"
