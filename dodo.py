"""The tasks of this checkout, and those of every VM in vms.yml."""

from ovtasks import load_tasks
from tests.support.tasks import task_bench, task_demo, task_test

__all__ = ["task_bench", "task_demo", "task_test"]

DOIT_CONFIG = {"default_tasks": ["build"]}
load_tasks(globals())
