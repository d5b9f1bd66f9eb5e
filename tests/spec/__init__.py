"""Tests of ``ovtasks.spec`` and ``ov validate``."""
