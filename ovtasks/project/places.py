"""Which files make a project, and how messages name a file."""

from __future__ import annotations

import os
from pathlib import Path

PROJECT_FILE = "overthink.yml"
VM_FILES = ("vms.yml", "vm.yml")
DEFAULTS = "defaults"
"""The key at the root of a file for VMs whose mapping all its VMs inherit."""
IMAGE_FILES = ("images.yml", "image.yml")
DEPLOY_FILE = "deploy.yml"
LAYER_FILE = "layer.yml"
"""A layer is such a file in a folder of its own."""
MIGRATING = ".ov-migrate"
"""The folder of a migration that has not ended: some files may be old, and some new."""
ROOT_FILES = (PROJECT_FILE, *VM_FILES)
"""A folder with one of these files is a project."""
LESSER_FILES = (*IMAGE_FILES, DEPLOY_FILE)
"""A folder with one of these is a project if no folder on the way up has one of ``ROOT_FILES``."""


def display(path: Path) -> str:
    """How errors name a file: relative to the current folder if it lies below, else absolute."""
    try:
        return str(path.relative_to(os.getcwd()))  # noqa: PTH109 — Path.cwd() is ten times as slow
    except (ValueError, FileNotFoundError):
        return str(path)
