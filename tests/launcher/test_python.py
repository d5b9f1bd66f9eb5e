"""doitw looks for a Python that is new enough, and says what to do when there is none."""

from __future__ import annotations

import shutil
import sys

import pytest

from tests.launcher.conftest import Bare, root


@pytest.fixture
def unmade(bare: Bare) -> Bare:
    """A project without a virtual environment."""
    shutil.rmtree(bare.directory / ".venv")
    return bare


@pytest.mark.parametrize(
    ("manager", "shown"),
    [
        ("apt-get", "apt-get install --no-install-recommends python3 python3-venv"),
        ("dnf", "dnf install python3"),
        ("pacman", "pacman -S --needed python"),
        ("zypper", "zypper install --no-recommends python311"),
    ],
)
def test_no_python(unmade: Bare, manager: str, shown: str) -> None:
    unmade.script(unmade.bin / manager, "exit 0")
    done = unmade.doitw("list", user=root(unmade))
    assert done.returncode == 3
    assert done.stderr.startswith("doitw: Python 3.11 or newer is needed\n")
    assert f"  hint: {shown}, or run ./doitw --yes …\n" in done.stderr


def test_python_is_too_old(unmade: Bare) -> None:
    unmade.script(unmade.bin / "python3", "case $1 in -V) echo Python 3.9.2 ;; esac")
    done = unmade.doitw("list", user=root(unmade))
    assert done.returncode == 1
    assert "doitw: Python 3.11 or newer is needed; python3 is Python 3.9.2\n  hint: install a newer one" in done.stderr
    assert "OV_PYTHON=/path/to/python3.12" in done.stderr


def test_ov_python_is_none(unmade: Bare) -> None:
    done = unmade.doitw("list", OV_PYTHON="/bin/false")
    assert done.returncode == 1
    assert done.stderr == "doitw: OV_PYTHON=/bin/false is not a Python 3.11 or newer\n"


def test_python_without_venv_module(unmade: Bare) -> None:
    """Debian packs venv and ensurepip apart: the package is named for the Python that was found."""
    unmade.script(unmade.bin / "apt-get", "exit 0")
    program = f"python3.{sys.version_info.minor}"
    unmade.script(
        unmade.bin / "python3",
        f"case $2 in *realpath*) echo '{unmade.bin}/{program}' ;; *) exit 1 ;; esac",
    )
    unmade.script(unmade.bin / program, "exit 1")
    done = unmade.doitw("list", user=root(unmade))
    assert done.returncode == 3
    assert f"{unmade.bin}/{program} has no venv and ensurepip modules\n" in done.stderr
    assert f"apt-get install --no-install-recommends {program}-venv" in done.stderr


@pytest.mark.slow
def test_failed_install_leaves_no_stamp(unmade: Bare) -> None:
    """A pyproject.toml that cannot be built; and the next run starts from nothing instead of trusting what is there."""
    (unmade.directory / "pyproject.toml").write_text("this is not TOML\n")
    venv = unmade.directory / ".venv"
    done = unmade.doitw("list", OV_PYTHON=sys.executable, PIP_NO_INDEX="1", PIP_NO_BUILD_ISOLATION="0")
    assert done.returncode == 1
    assert "doitw: the package could not be installed\n  hint: see the messages above" in done.stderr
    assert (venv / "ov-installing").exists()
    assert not (venv / "ov-stamp").exists()
