"""DVC's cache and its remote: an object's name is the md5 of its bytes, or it is broken."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from dvc.exceptions import DvcException
from dvc.repo import Repo

from pipeline.audit.findings import BROKEN, UNPROVEN, Finding
from pipeline.audit.hashing import Hasher
from pipeline.run import paths

FOLDER = ".dir"  # ends the name of an object that lists the files of a folder


def folder() -> Path:
    """Where DVC keeps the objects of this repository; what its configuration says is all that is believed of it."""
    with Repo(str(paths.ROOT)) as repo:
        return Path(repo.cache.local.path)


def place(cache: Path, md5: str) -> Path:
    return cache / md5[:2] / md5[2:]


def check(cache: Path, wanted: Mapping[str, tuple[str, ...]], hasher: Hasher) -> Iterator[Finding]:
    """Of the objects that are wanted (md5, and the items that left it), those in the cache with other bytes."""
    for md5, items in wanted.items():
        found = hasher.digests(place(cache, md5))
        if found is not None and found.md5 != md5.removesuffix(FOLDER):
            path = place(cache, md5)
            remedy = f"rm -f {path} && dvc commit --force {items[0]}, if the file in the workspace is proved"
            yield Finding(BROKEN, f"DVC cache object {path}", f"md5 {md5}", f"md5 {found.md5}", remedy, items)


def check_remote(wanted: Mapping[str, tuple[str, ...]], hasher: Hasher) -> Iterator[Finding]:
    """The same of the default remote, every object of which is read; one that is not there is unproven.

    Raises:
      ValueError: no remote is configured, or it cannot be read.
    """
    with Repo(str(paths.ROOT)) as repo:
        try:
            remote = repo.cloud.get_remote_odb()
        except DvcException as error:
            remedy = "Add one (dvc remote add -d), or install what one of its kind needs, as dvc[s3] for S3."
            raise ValueError(f"--remote: DVC has no remote to look into ({error}). {remedy}") from error
        for md5, items in wanted.items():
            path = remote.oid_to_path(md5)
            try:
                with remote.fs.open(path, "rb") as file:
                    found = hasher.fresh(file).md5
            except FileNotFoundError:
                yield Finding(UNPROVEN, f"DVC remote object {path}", f"md5 {md5}", "no such object", "dvc push", items)
                continue
            except Exception as error:  # each kind of remote has its library, and each library its own errors
                why = f"{path} cannot be read ({type(error).__name__}: {error})"
                raise ValueError(f"--remote: {why}. Look at its address and keys: dvc remote list.") from error
            if found != md5.removesuffix(FOLDER):
                remedy = "remove it there, then dvc push; and have DVC look itself: dvc remote modify NAME verify true"
                yield Finding(BROKEN, f"DVC remote object {path}", f"md5 {md5}", f"md5 {found}", remedy, items)


def wanted(outs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    """Items by md5, from pairs of md5 and item."""
    found: dict[str, tuple[str, ...]] = {}
    for md5, item in outs:
        found[md5] = (*found.get(md5, ()), item)
    return found
