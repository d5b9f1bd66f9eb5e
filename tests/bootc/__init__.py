"""Tests of bootc VMs, with the real podman and a stand-in for the program ``bootc``.

``standin/`` is the stand-in and the Containerfile of its image, :mod:`~tests.bootc.root` the Debian in it,
:mod:`~tests.bootc.storage` keeps both, and :mod:`~tests.bootc.room` is where podman runs. By hand, as root::

    python -m tests.bootc podman images             # localhost/root, localhost/standin
    python -m tests.bootc                           # a shell; what it does to podman's storage is gone at its end
    python -m tests.bootc ov vm build web           # the current folder, files and network are this machine's

In a test, ``room.run("ov", …)`` runs to its end, ``room.popen(…)`` runs meanwhile, and ``inner_pid`` says which process
to signal. A file ``standin.control`` in ``room.containers`` stops the installer: see ``standin/bootc``.
"""
