"""Objects in DVC's cache and in its remote are read: other bytes under their names are found."""

import contextlib
import http.server
import os
import py_compile
import sys
import threading

import pytest
from dvc.repo import Repo

from pipeline.audit import cache
from pipeline.audit.hashing import Hasher
from pipeline.run import paths


def test_objects_of_the_cache_and_of_the_remote_are_read(tmp_path, monkeypatch):
    Repo.init(str(tmp_path), no_scm=True).close()
    (tmp_path / ".dvc/config").write_text(f"[core]\nno_scm = true\nremote = r\n['remote \"r\"']\nurl = {tmp_path}/r\n")
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    md5 = "900150983cd24fb0d6963f7d28e17f72"  # of b"abc", RFC 1321
    for folder, check in ((".dvc/cache", cache.check), ("r", cache.check_remote)):

        def kinds(check=check):
            return [one.kind for one in check({md5: ("unify",)}, Hasher())]

        path = tmp_path / folder / "files/md5" / md5[:2] / md5[2:]
        assert kinds() == ["unproven"] * (folder == "r")  # what is not in the cache harms nothing
        path.parent.mkdir(parents=True)
        path.write_bytes(b"abc")
        assert kinds() == []
        path.write_bytes(b"abd")
        assert kinds() == ["broken"]


class _Empty(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_error(404)

    do_HEAD = do_GET  # noqa: N815


def test_a_remote_that_is_away_is_no_finding_and_no_password_is_shown(tmp_path, monkeypatch):
    Repo.init(str(tmp_path), no_scm=True).close()
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Empty)
    threading.Thread(target=server.serve_forever).start()

    def check(url):
        remote = f"[core]\nno_scm = true\nremote = r\n['remote \"r\"']\nurl = {url}\n"
        (tmp_path / ".dvc/config").write_text(remote)
        return [one.object for one in cache.check_remote({"9" * 32: ("unify",)}, Hasher())]

    with contextlib.closing(server.socket):
        there = f"127.0.0.1:{server.server_port}/x"
        assert check(f"http://me:secret@{there}") == [f"DVC remote object http://{there}/files/md5/99/{'9' * 30}"]
        server.shutdown()
    with pytest.raises(ValueError, match=rf"http://{there}/files/.* cannot be read \(ClientConnectorError") as error:
        check(f"http://me:secret@{there}")
    assert "secret" not in str(error.value)
    with pytest.raises(ValueError, match=r"no remote to look into \(ssh is supported, but requires 'dvc-ssh'"):
        check("ssh://me:secret@host/x")


def test_a_module_with_an_error_of_syntax_ends_no_audit_but_what_runs_in_its_place_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "pycache_prefix", "elsewhere")
    monkeypatch.delenv("PYTHONPYCACHEPREFIX", raising=False)
    (source := tmp_path / "vsml/one.py").parent.mkdir()
    source.write_text("a = 1")
    compiled = tmp_path / f"vsml/__pycache__/one.{sys.implementation.cache_tag}.pyc"
    py_compile.compile(str(source), str(compiled))
    at = source.stat().st_mtime_ns
    for text, later_ns, found in (("a = 1", 0, []), ("a = (", 0, [str(compiled)]), ("a = (", 10**10, [])):
        source.write_text(text)
        os.utime(source, ns=(at + later_ns, at + later_ns))
        assert [one.object for one in cache.check_compiled({})] == found
        assert sys.pycache_prefix == "elsewhere"
