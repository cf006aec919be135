"""Objects in DVC's cache and in its remote are read: other bytes under their names are found."""

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
