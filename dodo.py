"""This checkout's own tasks, and every VM's of vms.yml."""

from ovtasks import load_tasks
from tests.support.tasks import task_bench, task_test

__all__ = ["task_bench", "task_test"]

DOIT_CONFIG = {"default_tasks": ["build"]}
load_tasks(globals())
