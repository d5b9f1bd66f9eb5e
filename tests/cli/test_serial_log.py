"""The kept log of the serial console: shown without harm, its end, and as it grows."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from ovtasks.cli.serial_log import follow, inert, tail
from tests.support.tmux import wait_for


def test_inert() -> None:
    asks = b"\x05 \x1b[5n \x1b[?6n \x1b[c \x1b[>c \x1b[0x \x1b[18t \x1b[?2026$p \x1bP$qm\x1b\\ "
    asks += b"\x1b]11;?\x07 \x1b]10;?\x1b\\"
    assert inert(asks).strip() == b""
    harmless = b"\x1b[2J\x1b[1;31mred\x1b[0m\x1b]0;title\x07\x1b[?25h\x1b[8;24;80t\x1bc\r\n"
    assert inert(harmless) == harmless
    shortened = b"Mounting \x1b[0;1;39mdev-mqueue.mount\x1b\xe2\x80\xa6POSIX"  # as systemd writes it
    assert inert(shortened) == shortened.replace(b"\x1b\xe2", b"\xe2")


def test_tail(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert tail(log, 3) == b""
    for end in (b"", b"\n"):
        log.write_bytes(b"one\r\ntwo\rhalf\nthree" + end)
        assert tail(log, 0) == b""
        assert tail(log, 1) == b"three" + end
        assert tail(log, 2) == b"two\rhalf\nthree" + end
        assert tail(log, 3) == tail(log, 9) == log.read_bytes()
    log.write_bytes(b"")
    assert tail(log, 3) == b""
    log.write_bytes(b"\n\n\n")
    assert tail(log, 2) == b"\n\n"
    log.write_bytes(b"x" * 200_000 + b"\n" + b"y" * 100_000 + b"\n")
    assert tail(log, 1) == b"y" * 100_000 + b"\n"


def test_follow(tmp_path: Path) -> None:
    log, out = tmp_path / "log", tmp_path / "out"
    over = threading.Event()
    with out.open("wb") as file:
        thread = threading.Thread(target=follow, args=(log, file), kwargs={"lines": 2, "until": over.is_set})
        thread.start()

        def expect(text: bytes) -> None:
            assert wait_for(lambda: out.read_bytes() == text), out.read_bytes()

        part = tmp_path / "part"
        part.write_bytes(b"1\n2\n3\n")
        part.rename(log)  # it appears
        expect(b"2\n3\n")
        with log.open("ab") as more:
            more.write(b"4\n")
        expect(b"2\n3\n4\n")
        log.rename(tmp_path / "log.0")  # moved away, begun anew
        part.write_bytes(b"5\n6\n7\n")
        part.rename(log)
        expect(b"2\n3\n4\n5\n6\n7\n")
        log.write_bytes(b"")  # emptied
        time.sleep(0.5)
        with log.open("ab") as more:
            more.write(b"8\n")
        expect(b"2\n3\n4\n5\n6\n7\n8\n")
        over.set()
        thread.join(60)
        assert not thread.is_alive()
