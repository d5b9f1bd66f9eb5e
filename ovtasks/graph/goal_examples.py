"""Two examples for each kind of goal, for ``doit help GOAL``: a line → what it does. ``web`` is the goal's own name."""

from __future__ import annotations

from collections.abc import Mapping

EXAMPLES: Mapping[str, Mapping[str, str]] = {
    "build": {
        "doit build:web": "build what is stale",
        "doit build:web --size 40G": "with a larger disk",
    },
    "create": {
        "doit create:web": "build what is stale, make the VM, start it",
        "doit create:web -i test --ram 8G": "a second VM like it, with a disk of its own and more memory",
    },
    "define": {
        "doit define:web": "make the VM, and leave it off",
        "doit define:web -i test": "a second VM like it, with a disk of its own",
    },
    "start": {
        "doit start:web": "start the VM",
        "doit start:web -i test": "start the instance test",
    },
    "stop": {
        "doit stop:web": "shut the guest down, and wait until it is off",
        "doit stop:web --force": "pull the plug",
    },
    "destroy": {
        "doit destroy:web": "remove the definition, keep the disk",
        "doit destroy:web --disk": "remove all that is its own",
    },
    "deploy": {
        "doit deploy:web": "put the layers of the deployment into its VM",
        "doit list -s deploy:web": "whether it is up to date",
    },
}
STEP: Mapping[str, str] = {
    "doit step:web": "run this step and the stale ones that it needs",
    "doit info step:web": "what it is made from, and why it would run",
}
"""Those of a step, whose name takes the place of ``step:web``."""


def goal_examples(task: str, *, step: bool) -> Mapping[str, str]:
    """The examples of a task: of its kind, with its own name in them; others have none. ``step``: it is one of ours."""
    verb, _, name = task.partition(":")
    if verb in EXAMPLES:
        return {line.replace(":web", f":{name or 'web'}"): text for line, text in EXAMPLES[verb].items()}
    return {line.replace("step:web", task): text for line, text in STEP.items()} if step else {}
