"""What servers, mirrors, proxies and portals say: one message of ours or the right bytes, and never a stuck project.

Each case is one behaviour. A build meets it; it ends right or with an error in words; then the server is right again,
and the next plain build is, too, with nothing left of the first.
"""

from __future__ import annotations

import gzip
import re
import zlib

import pytest

from ovtasks.errors import OvError
from tests.images.chain import Chain
from tests.images.parts import (
    BROKEN,
    DIGEST,
    DISK,
    HTML,
    IMAGE,
    LINE,
    NONE,
    RIGHT,
    SHA256,
    SUMS,
    N,
    answers,
    body,
    breaks,
    chunked,
    drips,
    drips_headers,
    head,
    is_silent,
    meets,
    onwards,
    recovers,
    redirects,
    stalls,
    to_itself,
)
from tests.images.stage import Asked, Part, Stage
from tests.images.test_server_tls import SECURE, TLS

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("impatient")]  # slow as a whole


BEHAVIOURS: dict[str, tuple[Part, str | None]] = {
    # lengths
    "no length": (body(), RIGHT),
    "length of letters": (body("Content-Length: many"), RIGHT),
    "length below nothing": (body("Content-Length: -5"), RIGHT),
    "length with a sign": (body(f"Content-Length: +{N}"), RIGHT),
    "length of 5000 digits": (body(f"Content-Length: {'9' * 5000}"), RIGHT),
    "length in superscript": (body("Content-Length: \xb2"), RIGHT),
    "length twice": (body(f"Content-Length: {N}", f"Content-Length: {N}"), RIGHT),
    "two lengths": (body(f"Content-Length: {N}", "Content-Length: 7"), "is invalid"),
    "length of a petabyte": (answers(length=10**15), "not enough room"),
    "length too large": (answers(length=N + 100), rf"{N} of {N + 100} bytes"),
    "length too small": (answers(length=N - 512), DIGEST),
    "length is zero": (answers(length=0), "is empty"),
    "empty": (answers(b""), "is empty"),
    "more than promised": (lambda asked: asked.say(head(f"Content-Length: {N}"), IMAGE, b"HTTP/1.1 200 OK"), RIGHT),
    # chunks
    "chunked": (chunked(IMAGE, ""), "broke|invalid|connection"),
    "chunked to its end": (chunked(IMAGE[:9], IMAGE[9:], "0\r\n\r\n"), RIGHT),
    "chunked and a length": (chunked(IMAGE, "0\r\n\r\n", more="Content-Length: 3"), RIGHT),
    "chunk extensions": (chunked(f"{N:x};name=value\r\n", IMAGE[:0]), BROKEN),
    "trailers": (chunked(IMAGE, "0\r\nX-More: yes\r\n\r\n"), RIGHT),
    "chunk of no size": (chunked("zz\r\n", "0\r\n\r\n"), "broke after 0 bytes: a chunk is cut off or has no"),
    "chunk below nothing": (chunked("-5\r\nabc\r\n", "0\r\n\r\n"), f"{BROKEN}|{DIGEST}|is empty"),
    "chunk without end": (chunked("ffffffffffffffffff\r\nabc"), BROKEN),
    "chunk size of 70000 digits": (chunked("1" * 70000 + "\r\nabc"), BROKEN),
    "chunks cut off": (chunked(IMAGE[:5000]), r"broke after \d+ bytes: a chunk is cut off or has no"),
    "transfer in an unknown coding": (body("Transfer-Encoding: brotli"), RIGHT),
    # the first line
    "no answer": (lambda asked: None, BROKEN),
    "not HTTP": (lambda asked: asked.say("SSH-2.0-OpenSSH_9.2\r\n"), BROKEN),
    "HTTP 0.9": (lambda asked: asked.say(IMAGE), BROKEN),
    "HTTP 1.0": (body(f"Content-Length: {N}", status="HTTP/1.0 200 OK"), RIGHT),
    "HTTP 9.9": (body(f"Content-Length: {N}", status="HTTP/9.9 200 OK"), BROKEN),
    "no reason": (body(f"Content-Length: {N}", status="HTTP/1.1 200"), RIGHT),
    "no status": (body(f"Content-Length: {N}", status="HTTP/1.1 OK"), BROKEN),
    "status of four digits": (body(f"Content-Length: {N}", status="HTTP/1.1 2000 OK"), BROKEN),
    "status below 100": (body("Content-Length: 0", data=b"", status="HTTP/1.1 099 OK"), BROKEN),
    "first continue": (lambda a: a.say("HTTP/1.1 100 Continue\r\n\r\n", head(f"Content-Length: {N}"), IMAGE), RIGHT),
    "colours in the reason": (answers(b"", status="404 \x1b[31mNot\x07 Found"), r"404 \?\[31mNot"),
    "endless reason": (answers(b"", status="404 " + "x" * 60000), "404 xxx"),
    # header lines
    "no colon": (body("this is no header", f"Content-Length: {N}"), RIGHT),
    "folded": (body("X-Long: one", "  two", f"Content-Length: {N}"), RIGHT),
    "null byte": (body("X-Null: a\0b", f"Content-Length: {N}"), RIGHT),
    "raw bytes": (body("X-Raw: \xff\xfe", f"Content-Length: {N}"), RIGHT),
    "200 header lines": (body(*(f"X-{n}: y" for n in range(200))), BROKEN),
    "line of 70000 bytes": (body(f"X-Long: {'y' * 70000}"), BROKEN),
    "colours": (body("Server: \x1b[2J", f"Content-Length: {N}"), RIGHT),
    # what is remembered for a resume and a refresh
    "tag unquoted": (answers(IMAGE, "ETag: abc\x1bdef"), RIGHT),
    "tag without end": (answers(IMAGE, f'ETag: "{"e" * 9000}"'), RIGHT),
    "tag of raw bytes": (answers(IMAGE, 'ETag: "\xe4\xff"'), RIGHT),
    "date of nonsense": (answers(IMAGE, "Last-Modified: yesterday", "Date: \xff"), RIGHT),
    "date in the year 99999": (answers(IMAGE, "Last-Modified: Mon, 01 Jan 99999 00:00:00 GMT"), RIGHT),
    "dates without zones": (answers(IMAGE, "Last-Modified: Mon, 01 Jan 2024 00:00:00", "Date: now"), RIGHT),
    # encodings that nobody asked for
    "gzip": (answers(gzip.compress(IMAGE), "Content-Encoding: gzip"), RIGHT),
    "x-gzip in capitals": (answers(gzip.compress(IMAGE), "Content-Encoding: X-GZIP"), RIGHT),
    "gzip that is none": (answers(IMAGE, "Content-Encoding: gzip"), RIGHT),
    "gzip cut off": (answers(gzip.compress(IMAGE)[:-9], "Content-Encoding: gzip"), "cut off"),
    "gzip of something else": (answers(gzip.compress(HTML), "Content-Encoding: gzip"), DIGEST),
    "brotli": (answers(IMAGE, "Content-Encoding: br"), "in the encoding br"),
    "deflate": (answers(zlib.compress(IMAGE), "Content-Encoding: deflate"), "in the encoding deflate"),
    "identity": (answers(IMAGE, "Content-Encoding: identity"), RIGHT),
    # wrong content
    "portal": (answers(HTML, "Content-Type: text/html"), DIGEST),
    "portal with a new address": (redirects("/login"), "404"),
    "error page": (answers(HTML, status="200 Sorry"), DIGEST),
    "one byte flipped": (answers(IMAGE[:9000] + b"\xff" + IMAGE[9001:]), DIGEST),
    "another image": (answers(IMAGE + bytes(512)), DIGEST),
    "compressed": (answers(gzip.compress(IMAGE)), DIGEST),
    # broken connections
    "reset": (breaks, BROKEN),
    "drips": (drips, BROKEN),
    "drips its headers": (drips_headers, BROKEN),
    "silent": (is_silent, "no answer within|connection"),
    "stalls": (stalls, BROKEN),
    # redirects
    "to itself": (to_itself, "more than 10 redirects"),
    "ever onwards": (onwards, "more than 10 redirects"),
    "nowhere": (answers(b"", status="302 Found"), "302"),
    "to an empty place": (redirects(""), "302|redirects"),
    "to a file": (redirects("file:///etc/passwd"), "invalid web address: file:///etc/passwd"),
    "to ftp": (redirects("ftp://127.0.0.1/disk.raw"), "invalid web address"),
    "to gopher": (redirects("gopher://127.0.0.1/1"), "invalid web address"),
    "to data": (redirects("data:text/plain,hello"), "invalid web address"),
    "to script": (redirects("javascript:alert(1)"), "invalid web address"),
    "to half an address": (redirects("http://[::1/disk.raw"), "invalid web address"),
    "to port 99999": (redirects("http://127.0.0.1:99999/disk.raw"), "invalid web address"),
    "to port zero": (redirects("http://127.0.0.1:0/disk.raw"), "invalid web address"),
    "to no host": (redirects("http:///disk.raw"), "more than 10 redirects"),
    "to a blank host": (redirects("http://exa mple.org/disk.raw"), "invalid web address"),
    "to raw bytes": (redirects(b"/\xff\xfe.raw"), "invalid web address"),
    "to a name in UTF-8": (redirects("/d\u00e4sk.raw"), "404"),
    "to colours": (redirects("http://127.0.0.1:1\x1b[31m/"), "invalid web address"),
    "to a relative place": (redirects("real.raw"), RIGHT),
    "by 301": (redirects("/real.raw", "301 Moved Permanently"), RIGHT),
    "by 303": (redirects("/real.raw", "303 See Other"), RIGHT),
    "by 307": (redirects("/real.raw", "307 Temporary Redirect"), RIGHT),
    "by 308": (redirects("/real.raw", "308 Permanent Redirect"), RIGHT),
    "300": (answers(HTML, status="300 Multiple Choices"), "300"),
    "304 unasked": (answers(b"", status="304 Not Modified"), "304"),
    "204": (answers(b"", status="204 No Content"), "204"),
    "206 unasked": (
        answers(IMAGE, f"Content-Range: bytes 0-{N - 1}/{N}", status="206 Partial Content"),
        "contradict|invalid",
    ),
    # when to come back
    "429 for a day": (answers(b"", "Retry-After: 86400", status="429 Too Many Requests"), "429"),
    "503 for a billion seconds": (answers(b"", "Retry-After: 1000000000", status="503 Busy"), "503"),
    "503 for a long number": (answers(b"", f"Retry-After: {'9' * 5000}", status="503 Busy"), "503"),
    "503 in superscript": (answers(b"", "Retry-After: \xb2", status="503 Busy"), "503"),
    "503 until yesterday": (answers(b"", "Retry-After: Mon, 01 Jan 2001 00:00:00 GMT", status="503 Busy"), "503"),
    "503 until 99999": (answers(b"", "Retry-After: Mon, 01 Jan 99999 00:00:00 GMT", status="503 Busy"), "503"),
    "503 until whenever": (answers(b"", "Retry-After: soon", status="503 Busy"), "503"),
    **{
        f"status {code}": (answers(HTML, status=f"{code} Whatever"), str(code))
        for code in (400, 401, 402, 403, 404, 405, 406, 407, 408, 410, 411, 412, 413, 416, 418, 421, 423, 425, 451)
    },
    **{
        f"status {code}": (answers(HTML, status=f"{code} Oh"), str(code))
        for code in (500, 501, 502, 504, 505, 507, 599)
    },
}


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_image(stage: Stage, chain: Chain, name: str) -> None:
    """The digest is known; the image's own answers are strange."""
    part, said = BEHAVIOURS[name]
    stage.files["/real.raw"] = IMAGE
    stage.play(rf"{DISK}x*", part)
    chain.write(f"{stage.url}{DISK}", {"value": SHA256})
    meets(chain, said)
    recovers(stage, chain)


UNVERIFIED = {
    "portal": (answers(HTML), "looks like a web page"),
    "half": (answers(IMAGE[: N // 2]), "is cut off: the file has"),
    "half without a length": (body(data=IMAGE[: N // 2]), "is cut off: the file has"),
    "head": (answers(IMAGE[:512]), "is cut off|unknown image format"),
    "zeros": (answers(bytes(N)), "unknown image format"),
    "gzip": (answers(gzip.compress(IMAGE), "Content-Encoding: gzip"), RIGHT),
    "gzip of a page": (answers(gzip.compress(HTML), "Content-Encoding: gzip"), "looks like a web page"),
    "gzip file cut off": (answers(gzip.compress(IMAGE)[:-20]), "cut off"),
    "iso": (answers(bytes(32769) + b"CD001" + bytes(9000)), "ISO 9660"),
}


@pytest.mark.parametrize("name", UNVERIFIED)
def test_image_that_nothing_vouches_for(stage: Stage, chain: Chain, name: str) -> None:
    part, said = UNVERIFIED[name]
    stage.play(DISK, part)
    chain.write(f"{stage.url}{DISK}")
    meets(chain, said)
    recovers(stage, chain)


def line(text: str | bytes, *headers: str) -> Part:
    return answers(text if isinstance(text, bytes) else text.encode(), *headers)


FILES: dict[str, tuple[Part, str | None]] = {
    "right": (line(LINE), RIGHT),
    "of another time": (line(f"{'a' * 64}  disk.raw\n"), DIGEST),
    "portal": (answers(HTML, "Content-Type: text/html"), NONE),
    "binary": (line(bytes(range(256)) * 40), NONE),
    "empty": (line(""), NONE),
    "too large": (line("x" * (2 << 20)), "larger than 1024 KiB"),
    "bomb": (line(gzip.compress(bytes(64 << 20)), "Content-Encoding: gzip"), "larger than 1024 KiB"),
    "gzip": (line(gzip.compress(LINE.encode()), "Content-Encoding: gzip"), RIGHT),
    "gzip that is none": (line(LINE, "Content-Encoding: gzip"), "broke"),
    "brotli": (line(LINE, "Content-Encoding: br"), "encoding br"),
    "cut off": (answers(LINE[:30].encode(), length=len(LINE)), "broke"),
    "one digit short": (line(f"{SHA256[:-1]}  disk.raw\n"), NONE),
    "contradicts itself": (line(LINE + f"{'b' * 64}  disk.raw\n"), NONE),
    "UTF-16": (line(b"\xff\xfe" + LINE.encode("utf-16-le")), RIGHT),
    "byte order mark": (line(b"\xef\xbb\xbf" + LINE.encode()), RIGHT),
    "null bytes": (line(LINE.replace("\n", "\0\n")), RIGHT),
    "carriage returns": (line(LINE.replace("\n", "\r\n")), RIGHT),
    "chunked": (chunked(LINE.encode(), "0\r\n\r\n"), RIGHT),
    "chunked and cut": (chunked(LINE.encode()), "broke"),
    "reset": (breaks, "connection"),
    "silent": (is_silent, "no answer|broke|connection"),
    "drips": (drips, "broke|connection"),
    "500": (answers(b"", status="500 Oh"), "500"),
    "403": (answers(b"", status="403 No"), "403"),
    "loop": (to_itself, "redirects"),
    "to a file": (redirects("file:///etc/hostname"), "invalid web address"),
    "not HTTP": (lambda asked: asked.say("hello\r\n"), "connection|invalid"),
    "200 header lines": (body(*(f"X-{n}: y" for n in range(200))), "connection|invalid"),
}


@pytest.mark.parametrize("name", FILES)
def test_checksum_file(stage: Stage, chain: Chain, name: str) -> None:
    part, said = FILES[name]
    stage.play(re.escape(SUMS), part)
    chain.write(f"{stage.url}{DISK}", {"type": "sha256"})
    meets(chain, said)
    recovers(stage, chain)


EVERYTHING = {
    "portal": (answers(HTML, "Content-Type: text/html"), NONE),
    "404": (answers(b"", status="404 Not Found"), "the server answered 404"),
    "410": (answers(b"", status="410 Gone"), "the server answered 410"),
    "403": (answers(b"", status="403 Forbidden"), "the server answered 403"),
    "503": (answers(b"", status="503 Busy"), "503"),
    "empty": (answers(b""), NONE),
}


@pytest.mark.parametrize("name", EVERYTHING)
def test_every_address(stage: Stage, chain: Chain, name: str) -> None:
    """A portal, or a mirror that is empty: the image's absence is named, and not that of its checksum."""
    part, said = EVERYTHING[name]
    stage.play(".*", part)
    chain.write(f"{stage.url}{DISK}", {"type": "sha256"})
    meets(chain, said)
    recovers(stage, chain)


HEADS: dict[str, Part] = {
    "404": answers(b"", status="404 Not Found"),
    "405": answers(b"", status="405 Method Not Allowed"),
    "403": answers(b"", status="403 Forbidden"),
    "500": answers(b"", status="500 Oh"),
    "501": answers(b"", status="501 Not Implemented"),
    "no answer": lambda asked: None,
    "nonsense": lambda asked: asked.say("what?\r\n"),
    "a body": lambda asked: asked.say(head(f"Content-Length: {N}"), IMAGE),
    "redirect to a file": redirects("file:///etc/passwd"),
    "silent": is_silent,
}


@pytest.mark.parametrize("name", HEADS)
def test_servers_that_know_no_head(stage: Stage, chain: Chain, name: str) -> None:
    stage.play(DISK, HEADS[name], methods="HEAD")
    chain.write(f"{stage.url}{DISK}", {"type": "sha256"})
    meets(chain, RIGHT)


def part_of(start: int, data: bytes, *headers: str, total: int | str = N, status: str = "206 Partial Content") -> Part:
    return answers(data, f"Content-Range: bytes {start}-{start + len(data) - 1}/{total}", *headers, status=status)


TAG = 'ETag: "right"'
HALF = 20000
RESUMES: dict[str, Part] = {
    "right": part_of(HALF, IMAGE[HALF:], TAG),
    "from its start": answers(IMAGE, TAG),
    "from elsewhere": part_of(HALF - 7, IMAGE[HALF - 7 :], TAG),
    "beyond": part_of(HALF + 7, IMAGE[HALF + 7 :], TAG),
    "another length": part_of(HALF, IMAGE[HALF:], TAG, total=N + 1),
    "unknown length": part_of(HALF, IMAGE[HALF:], TAG, total="*"),
    "another tag": part_of(HALF, IMAGE[HALF:], 'ETag: "other"'),
    "other bytes": part_of(HALF, bytes(N - HALF), TAG),
    "no range": answers(IMAGE[HALF:], TAG, status="206 Partial Content"),
    "range of nonsense": answers(IMAGE[HALF:], TAG, "Content-Range: bytes all", status="206 Partial Content"),
    "range of 5000 digits": answers(
        IMAGE[HALF:], f"Content-Range: bytes {'9' * 5000}-1/2", status="206 Partial Content"
    ),
    "several ranges": answers(IMAGE, "Content-Type: multipart/byteranges; boundary=x", status="206 Partial Content"),
    "416": answers(b"", "Content-Range: bytes */7", status="416 No"),
    "416 without a range": answers(b"", status="416 No"),
    "416 and it is complete": answers(b"", f"Content-Range: bytes */{HALF}", status="416 No"),
    "412": answers(b"", status="412 No"),
    "304": answers(b"", status="304 Not Modified"),
    "portal": answers(HTML),
    "breaks": breaks,
    "gzip": part_of(HALF, IMAGE[HALF:], TAG, "Content-Encoding: gzip"),
}


@pytest.mark.parametrize("name", RESUMES)
def test_going_on_with_a_download(stage: Stage, chain: Chain, name: str) -> None:
    """The first run ends in the middle; the second one's first answer to its range is strange. The third is right."""

    def half(asked: Asked) -> None:
        asked.answer(IMAGE[:HALF], TAG, "Accept-Ranges: bytes", length=N)

    stage.play(DISK, lambda a: half(a) if a.number == 1 else a.answer(b"", status="500 Oh"), methods="GET")
    chain.write(f"{stage.url}{DISK}", {"value": SHA256})
    meets(chain, "500")
    stage.play(DISK, RESUMES[name], methods="GET", times=1)
    try:
        chain.build()
    except OvError as e:
        assert e.hint
    recovers(stage, chain)


def test_matrix_is_one() -> None:
    cases = [*BEHAVIOURS, *UNVERIFIED, *FILES, *EVERYTHING, *HEADS, *RESUMES, *SECURE, *TLS]
    assert len(cases) >= 200
