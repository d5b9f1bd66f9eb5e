"""Starts what is measured, from a small process: on Linux a child's peak memory begins at its parent's.

It reads a line of JSON ``[argv, cwd, env]`` and answers with ``[status, wall ms, processor ms, peak MiB]``.
"""

import json
import os
import sys
import time

for line in sys.stdin:
    argv, cwd, env = json.loads(line)
    os.chdir(cwd)
    actions = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0) for number in (1, 2)]
    actions.append((os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0))
    start = time.perf_counter()
    pid = os.posix_spawn(argv[0], argv, env, file_actions=actions)
    _, status, usage = os.wait4(pid, 0)
    wall = (time.perf_counter() - start) * 1000
    cpu, peak = (usage.ru_utime + usage.ru_stime) * 1000, usage.ru_maxrss / 1024
    print(json.dumps([os.waitstatus_to_exitcode(status), wall, cpu, peak]), flush=True)
