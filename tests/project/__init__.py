"""Tests of ``ovtasks.project`` and ``ov validate``."""
