"""Run as an ordinary user: a stubborn child of sudo's is ended early. ``python -m tests.host.sudo_child``"""

from __future__ import annotations

from ovtasks.host.run import CommandError, run

if __name__ == "__main__":
    try:
        run(["sudo", "-n", "sh", "-c", "trap '' TERM; echo $$ >pid; while :; do sleep 1; done"], timeout=10)
    except CommandError as e:
        print(e.message, flush=True)
