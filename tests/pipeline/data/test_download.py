"""Downloads from a real server that misbehaves in every way that servers and networks have."""

import contextlib
import gzip
import hashlib
import os
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.data import download
from pipeline.run import paths
from tests.servers import until

QUICK = {"stall_s": 10.0, "tries": 2, "backoff_s": 0.01}
DATA = np.random.default_rng(0).integers(0, 256, 60_000, np.uint8).tobytes()
PAYLOAD = np.random.default_rng(1).integers(0, 16, 60_000, np.uint8).tobytes()
PACKED = gzip.compress(PAYLOAD, compresslevel=9, mtime=0)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Server(ThreadingHTTPServer):
    """Answers each path as its script says, and remembers the requests: (path, Range)."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.scripts: dict[str, Callable[[Handler], None]] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.over = threading.Event()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.close_connection = True
        self.server.requests.append((self.path, self.headers.get("Range")))
        self.first = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        with contextlib.suppress(ConnectionError):  # clients may leave
            self.server.scripts[self.path](self)

    def log_message(self, format: str, *args) -> None:
        pass

    def answer(self, content: bytes = b"", length: int | None = None, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Connection", "close")
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    def answer_from(self, first: int, total: int, content: bytes) -> None:
        """Announce what follows the first bytes of so many, and give `content`."""
        place = {"Content_Range": f"bytes {first}-{total - 1}/{total}"} if first else {}
        self.answer(content, total - first, 206 if first else 200, **place)


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", download.MIRROR):
        monkeypatch.delenv(name, raising=False)
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.over.set()
        made.shutdown()
        thread.join()


@pytest.fixture
def locked(server):
    """A file of the lock with these mirrors, each a script."""

    def made(*scripts, content: bytes = DATA, payload: bytes | None = None, size: bool = True) -> download.File:
        server.scripts |= {f"/{number}": script for number, script in enumerate(scripts)}
        urls = tuple(server.url(f"/{number}") for number in range(len(scripts)))
        payload_sha256 = None if payload is None else _sha256(payload)
        name = "file.bin" if payload is None else "file.gz"
        return download.File("a_set", name, _sha256(content), len(content) if size else None, payload_sha256, urls)

    return made


def good(handler: Handler, content: bytes = DATA) -> None:
    if handler.first >= len(content):
        return handler.answer(b"", 0, 416, Content_Range=f"bytes */{len(content)}")
    handler.answer_from(handler.first, len(content), content[handler.first :])


def flip(at: int) -> bytes:
    return DATA[:at] + bytes([DATA[at] ^ 1]) + DATA[at + 1 :]


def redirect_to_nowhere(handler: Handler, at: int) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        handler.answer(b"", 0, 301, Location=f"http://127.0.0.1:{free.getsockname()[1]}/")


def stall(handler: Handler, at: int) -> None:
    handler.answer(DATA[:at], len(DATA))
    handler.server.over.wait(30)


def reset(handler: Handler, at: int) -> None:
    handler.answer(DATA[:at], len(DATA))
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def endless(handler: Handler, at: int) -> None:
    handler.answer()
    while not handler.server.over.is_set():
        handler.wfile.write(DATA)


def packed_on_the_way(handler: Handler, at: int) -> None:
    content = gzip.compress(DATA)
    handler.answer(content, len(content), Content_Encoding="gzip")


def goes_on_wrongly(handler: Handler, at: int, back: int, rest: bytes) -> None:
    """Breaks off, and when asked to go on, goes on `back` bytes earlier, with the end of other bytes."""
    first = handler.first - back
    if not handler.first:
        return handler.answer(DATA[:at], len(DATA))
    handler.answer_from(first, len(DATA), rest[first:])


def _random(at: int, size: int) -> bytes:
    return np.random.default_rng(at).bytes(size)


def _chunked(handler: Handler, size: int, content: bytes) -> None:
    handler.answer(f"{size:x}\r\n".encode() + content, None, Transfer_Encoding="chunked")


ANY, WHOLE, TORN = "application/octet-stream", "gave 60000 bytes with sha256", "IncompleteRead"
PAGE = b"<html>Welcome to the hotel!</html>"
ELSEWHERE, OTHER = {"back": 1, "rest": DATA}, {"back": 0, "rest": bytes(len(DATA))}
# How each fails, in how many random places `at` of the file it is tried, what the user reads of it, and what it does.
AT_RANDOM: list[tuple[str, int, str, Callable[..., Any]]] = [
    ("truncated", 5, TORN, lambda h, at: h.answer(DATA[:at], len(DATA))),
    ("truncated on its disk", 2, "announces", lambda h, at: good(h, DATA[:at])),
    ("truncated and unannounced", 2, "gave", lambda h, at: h.answer(DATA[:at])),
    ("truncated in a chunk", 2, TORN, lambda h, at: _chunked(h, len(DATA), DATA[:at])),
    ("truncated between chunks", 2, TORN, lambda h, at: _chunked(h, at, DATA[:at] + b"\r\n")),
    ("flipped", 5, WHOLE, lambda h, at: good(h, flip(at))),
    # the next mirror is asked to go on after a corrupt byte
    ("flipped then truncated", 2, TORN, lambda h, at: h.answer(flip(at)[: at + 1], len(DATA))),
    ("wrong of the same size", 2, WHOLE, lambda h, at: good(h, _random(at, len(DATA)))),
    ("wrong of another size", 2, "announces", lambda h, at: good(h, _random(at, len(DATA) + at))),
    ("web page", 1, "answers with a web page", lambda h, at: h.answer(PAGE, len(PAGE), Content_Type="text/html; a=b")),
    ("web page in disguise", 1, "gave 34 bytes with sha256", lambda h, at: h.answer(PAGE, Content_Type=ANY)),
    ("redirect loop", 1, "redirects more than 5 times", lambda h, at: h.answer(b"", 0, 302, Location=h.path)),
    ("redirect to nowhere", 1, "Connection refused", redirect_to_nowhere),
    (
        "redirect to another world",
        1,
        "No connection adapters were found for 'file:///etc/passwd'",
        lambda h, at: h.answer(b"", 0, 302, Location="file:///etc/passwd"),
    ),
    *(
        (f"status {code}", 1, f"HTTP {code}", lambda h, at, code=code: h.answer(DATA, len(DATA), code))
        for code in (204, 403, 404, 416, 500, 503)
    ),
    ("stall", 2, "was silent for 0.3 s", stall),
    ("stall before a word", 1, "was silent for 0.3 s", lambda h, at: h.server.over.wait(30)),
    ("reset", 3, "Connection reset by peer", reset),
    ("hang up", 1, "closed connection without response", lambda h, at: h.connection.shutdown(socket.SHUT_RDWR)),
    ("announces more", 1, "announces", lambda h, at: h.answer(DATA, len(DATA) + at)),
    ("announces less", 2, "announces", lambda h, at: h.answer(DATA, at)),
    ("endless", 1, "sends more than 60000 bytes", endless),
    ("empty", 1, "announces 0 bytes", lambda h, at: h.answer(b"", 0)),
    ("packed on the way", 1, "announces", packed_on_the_way),
    ("another range", 2, "does not go on where the partial file ends", partial(goes_on_wrongly, **ELSEWHERE)),
    ("range of another file", 2, WHOLE, partial(goes_on_wrongly, **OTHER)),
    ("no HTTP", 1, "BadStatusLine", lambda h, at: h.wfile.write(b"220 ftp.example.org ready\r\n")),
]
BAD = [
    pytest.param(partial(script, at=int(at)), answer, id=f"{name}-{at}")
    for seed, (name, times, answer, script) in enumerate(AT_RANDOM)
    for at in np.random.default_rng(seed).integers(1, len(DATA) - 1, times)
]


def _left(cache: Path) -> set[str]:
    return {path.name for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock"}


@pytest.mark.parametrize(("bad", "answer"), BAD)
def test_a_bad_mirror_is_left_for_a_good_one_and_alone_gives_nothing_but_a_clear_error(
    server, locked, tmp_path, capsys, bad, answer
):
    file, cache, alone = locked(bad, good), tmp_path / "cache", tmp_path / "alone"
    quick: dict[str, Any] = QUICK | ({"stall_s": 0.3} if "silent" in answer else {})
    assert download.fetch(file, cache, **quick).read_bytes() == DATA
    assert _left(cache) == {"file.bin"}
    assert {path for path, _ in server.requests} == {"/0", "/1"}
    assert answer in capsys.readouterr().err

    with pytest.raises(OSError) as raised:
        download.fetch(file._replace(urls=file.urls[:1]), alone, **quick)
    complaint = str(raised.value)
    expected = f"{len(DATA)} bytes with sha256 {_sha256(DATA)}"
    for part in ("a_set/file.bin cannot be had", expected, server.url("/0"), answer):
        assert part in complaint
    assert f"fetch {server.url('/0')} by hand, save it as FOLDER/a_set/file.bin, and set VSML_DATA_MIRROR" in complaint
    broke_off = "bytes are kept, and resumed then" in complaint
    assert _left(alone) == ({"file.bin.part"} if broke_off else set())

    server.scripts["/0"] = good
    assert download.fetch(file, alone, **QUICK).read_bytes() == DATA
    assert _left(alone) == {"file.bin"}


def _part(cache: Path, content: bytes) -> None:
    (cache / "a_set").mkdir()
    (cache / "a_set/file.bin.part").write_bytes(content)


def _in_pieces(handler: Handler, announced: int | None) -> None:
    """Gives `announced` bytes and says so; or the next 20,000 of the whole, and breaks off."""
    first, total = handler.first, len(DATA)
    if announced is None:
        return handler.answer_from(first, total, DATA[first : first + 20_000])
    place = f"bytes {first}-{total - 1}/{total}"
    handler.answer(DATA[first : first + announced], announced, 206, Content_Range=place)


@pytest.mark.parametrize(
    ("script", "part", "asked"),
    [
        (good, DATA[:20_000], [20_000]),
        (partial(Handler.answer, content=DATA, length=len(DATA)), DATA[:20_000], [20_000]),  # it begins anew
        (good, DATA, []),
        (partial(_in_pieces, announced=None), b"", [None, 20_000, 40_000]),
        (partial(_in_pieces, announced=10_000), DATA[:40_000], [40_000, 50_000]),
        *((good, rest, [len(rest), None]) for rest in (bytes(20_000), DATA + b"more", bytes(len(DATA)))),  # no part
    ],
    ids=["goes on", "cannot", "whole", "breaks off", "announces less", "corrupt", "too long", "another"],
)
def test_a_download_goes_on_where_it_ended_and_begins_anew_where_that_cannot_be(
    server, locked, tmp_path, script, part, asked
):
    if part:
        _part(tmp_path, part)
    assert download.fetch(locked(script), tmp_path, **QUICK | {"tries": 3}).read_bytes() == DATA
    assert server.requests == [("/0", first and f"bytes={first}-") for first in asked]
    assert _left(tmp_path) == {"file.bin"}


@pytest.mark.parametrize("size", [True, False])
def test_what_is_in_the_cache_is_not_downloaded_again_unless_damaged(server, locked, tmp_path, capsys, size):
    file = locked(good, size=size)
    path = download.fetch(file, tmp_path, **QUICK)
    assert download.fetch(file, tmp_path, **QUICK) == path and len(server.requests) == 1

    path.write_bytes(DATA[:-1] + b"!")
    assert download.fetch(file, tmp_path, **QUICK).read_bytes() == DATA
    assert len(server.requests) == 2
    assert f"{path} is damaged and not used: it has {len(DATA)} bytes with sha256" in capsys.readouterr().err

    path.write_bytes(DATA[:-1] + b"!")
    server.scripts["/0"] = partial(Handler.answer, status=404, length=0)
    with pytest.raises(OSError, match="HTTP 404"):
        download.fetch(file, tmp_path, **QUICK)
    assert _left(tmp_path) == set()


def test_no_server_is_asked_to_pack_and_no_packed_file_is_unpacked(server, locked, tmp_path):
    def eager(handler: Handler) -> None:
        """Packs what may be packed, and calls the packing of a gzip file an encoding, as some servers do."""
        content = gzip.compress(PACKED) if "gzip" in handler.headers.get("Accept-Encoding", "") else PACKED
        handler.answer(content, len(content), Content_Encoding="gzip")

    assert download.fetch(locked(eager, content=PACKED), tmp_path, **QUICK).read_bytes() == PACKED


@pytest.mark.parametrize(
    ("given", "same"),
    [
        *((gzip.compress(PAYLOAD, compresslevel=level, mtime=12345), True) for level in (1, 9)),
        (gzip.compress(PAYLOAD[:-1] + b"!"), False),
        (gzip.compress(PAYLOAD)[:-9], False),
        (PACKED[:5000] + bytes([PACKED[5000] ^ 1]) + PACKED[5001:], False),
        (PAYLOAD[: len(PACKED)], False),
        (PACKED + b"more", False),
    ],
    ids=["level 1", "level 9", "other content", "truncated", "flipped", "not packed", "trailed"],
)
def test_a_gzip_file_that_was_packed_anew_is_the_same_and_one_around_anything_else_is_not(
    server, locked, tmp_path, given, same
):
    assert given != PACKED
    file = locked(partial(good, content=given), partial(good, content=PACKED), content=PACKED, payload=PAYLOAD)
    for _ in range(2):  # the second from the cache
        assert download.fetch(file, tmp_path, **QUICK).read_bytes() == (given if same else PACKED)
    assert [path for path, _ in server.requests if path == "/1"] == ([] if same else ["/1"])
    if not same:
        with pytest.raises(OSError, match="or gzip around content with sha256"):
            download.fetch(file._replace(urls=file.urls[:1]), tmp_path / "other", **QUICK)
        assert _left(tmp_path / "other") == set()


@pytest.mark.parametrize("spelling", ["a_set", "a-set"])
def test_the_users_folders_come_before_the_network(server, locked, tmp_path, monkeypatch, capsys, spelling):
    mirrors = [tmp_path / name for name in ("nowhere", "damaged", "good")]
    for folder, content in zip(mirrors[1:], (DATA[:-1], DATA), strict=True):
        (folder / spelling).mkdir(parents=True)
        (folder / spelling / "file.bin").write_bytes(content)
    monkeypatch.setenv(download.MIRROR, os.pathsep.join(map(str, mirrors)))
    file, cache = locked(good), tmp_path / "cache"
    assert download.fetch(file, cache, **QUICK) == mirrors[2] / spelling / "file.bin"
    assert f"{mirrors[1] / spelling / 'file.bin'} is damaged and not used" in capsys.readouterr().err
    assert server.requests == [] and not cache.exists()

    monkeypatch.setenv(download.MIRROR, os.pathsep.join(map(str, mirrors[:2])))
    assert download.at_hand(file, cache) is None
    assert download.fetch(file, cache, **QUICK) == cache / "a_set/file.bin"

    server.scripts["/0"] = partial(Handler.answer, status=404, length=0)
    with pytest.raises(
        OSError, match=rf"{mirrors[0]}/a_set/file.bin is not there[\s\S]*{spelling}/file.bin is damaged"
    ):
        download.fetch(file, tmp_path / "other", **QUICK)


def test_a_proxy_of_the_environment_is_used(server, locked, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url(""))
    monkeypatch.setenv("no_proxy", "")
    server.scripts["http://publisher.invalid/file.bin"] = good
    file = locked()._replace(urls=("http://publisher.invalid/file.bin",))
    assert download.fetch(file, tmp_path, **QUICK).read_bytes() == DATA
    monkeypatch.setenv("http_proxy", "http://me:s3c/ret@badhost")
    with pytest.raises(OSError) as refused:
        download.fetch(file, tmp_path / "other", **QUICK)
    assert "perhaps of the proxy" in str(refused.value) and "s3c" not in str(refused.value)


FETCH = """
import resource, sys
from pathlib import Path
from pipeline.data import download
*limit, sha256, size, url, cache = sys.argv[1:]
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit[0]), int(limit[0])))
file = download.File("a_set", "file.bin", sha256, int(size), None, (url,))
print(download.fetch(file, Path(cache), stall_s=10.0))
"""


def _start(file: download.File, cache: Path, *limit: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", FETCH, *limit, file.sha256, str(file.bytes), file.urls[0], str(cache)]
    return subprocess.Popen(command, cwd=paths.ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_full_disk_says_so_and_keeps_nothing(locked, tmp_path):
    process = _start(locked(good), tmp_path, "20000")
    _, error = process.communicate(timeout=30)
    assert process.returncode == 1
    assert f"a_set/file.bin does not fit: the disk or the quota of {tmp_path / 'a_set'} is full. Make room" in error
    assert "Traceback" not in error.partition("Traceback")[2], "one error, not a chain of them"
    assert _left(tmp_path) == set()


def _slow(handler: Handler, go_on: threading.Event) -> None:
    first = handler.first
    handler.answer_from(first, len(DATA), DATA[first : first + 20_000])
    go_on.wait(30)
    handler.wfile.write(DATA[first + 20_000 :])


def test_two_at_once_download_it_once(server, locked, tmp_path):
    go_on = threading.Event()
    file = locked(partial(_slow, go_on=go_on))
    first = _start(file, tmp_path)
    until(lambda: len(server.requests) == 1, "its request")
    second = _start(file, tmp_path)
    assert second.stderr is not None
    assert second.stderr.readline() == "Another process is downloading file.bin: waiting for it.\n"
    go_on.set()
    for process in (first, second):
        out, error = process.communicate(timeout=30)
        assert process.returncode == 0, error
        assert Path(out.strip()).read_bytes() == DATA
    assert len(server.requests) == 1


def test_a_killed_download_is_resumed_by_the_next_run(server, locked, tmp_path):
    file = locked(partial(_slow, go_on=server.over))
    process = _start(file, tmp_path)
    part = tmp_path / "a_set/file.bin.part"
    until(lambda: part.exists() and part.stat().st_size > 0, "its first bytes")
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    assert _left(tmp_path) == {"file.bin.part"}
    kept = part.stat().st_size
    server.scripts["/0"] = good
    assert download.fetch(file, tmp_path, **QUICK).read_bytes() == DATA
    assert server.requests[1:] == [("/0", f"bytes={kept}-")]


def test_a_terminal_shows_a_bar(monkeypatch):
    reader, writer = os.openpty()
    termios.tcsetwinsize(writer, (24, 80))
    with open(writer, "w", encoding="utf-8") as terminal:  # noqa: PTH123 (a descriptor has no path)
        monkeypatch.setattr(sys, "stderr", terminal)
        with download.progress("file.bin", 10_000_000, 40_000_000) as bar:
            bar.update(20_000_000)
        shown = b""
        while not shown.endswith(b"\n"):
            shown += os.read(reader, 1000)
    os.close(reader)
    assert "file.bin:  75%|" in shown.decode() and "| 30.0M/40.0M [" in shown.decode()


def test_what_is_no_terminal_has_a_line_now_and_then_and_none_of_what_is_quick(capsys):
    with download.progress("file.bin", 0, 40_000_000) as bar:
        bar.update(40_000_000)
    assert capsys.readouterr().err == ""
    with download.progress("file.bin", 0, 40_000_000, every_s=0.05) as bar:
        for _ in range(2):
            bar.update(5_000_000)  # too soon
            time.sleep(0.06)
            bar.update(10_000_000)
    with download.progress("other.bin", 0, None, every_s=0.01) as bar:  # of no announced size
        time.sleep(0.02)
        bar.update(5_000_000)
    expected = ["file.bin: 15.0MB of 40.0MB", "file.bin: 30.0MB of 40.0MB", "other.bin: 5.00MB of ?B"]
    assert capsys.readouterr().err.splitlines() == expected
