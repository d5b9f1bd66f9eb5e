"""VMs declared in ``vms.yml`` as doit task graphs.

This module stays free of imports: ``ov`` answers "nothing to do" without loading anything else.
"""

__version__ = "0.1.0"
__all__ = ["__version__", "load_tasks"]


def load_tasks(namespace: dict[str, object]) -> None:
    """Add every VM's tasks to a ``dodo.py``: ``from ovtasks import load_tasks`` and ``load_tasks(globals())``.

    The tasks stand beside the file's own ``task_*`` functions; settings that the file already made in
    ``DOIT_CONFIG`` are kept.
    """
    from ovtasks.graph.loader import install

    install(namespace)
