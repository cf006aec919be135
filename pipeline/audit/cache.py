"""Files with digests as names: objects in DVC's cache and in its remote, checkpoints. And compiled code."""

import contextlib
import importlib.util
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.machinery import SourceFileLoader
from pathlib import Path

from dvc.exceptions import DvcException
from dvc.repo import Repo

from pipeline.audit.findings import AGAIN, UNPROVEN, Finding
from pipeline.audit.hashing import Hasher
from pipeline.run import paths
from pipeline.run.checkpoints import NAME
from pipeline.run.plan import OURS, shadowed
from pipeline.track.tracking import without_secrets

Wanted = Mapping[str, tuple[str, ...]]  # by the md5 of an object, the items that left it
FOLDER = ".dir"  # ends the name of an object that lists the files of a folder


def check(wanted: Wanted, hasher: Hasher) -> Iterator[Finding]:
    """Of the objects that are wanted, those in the cache with other bytes; one that is not there harms nothing."""
    with Repo(str(paths.ROOT)) as repo:
        places = {md5: Path(repo.cache.local.oid_to_path(md5)) for md5 in wanted}
    found = hasher.each(places.values())
    for md5, path in places.items():
        if path in found and found[path].md5 != md5.removesuffix(FOLDER):
            remedy = f"rm -f {path} && dvc commit --force {wanted[md5][0]}, if the file in the workspace is proved"
            words = (f"md5 {md5}", f"md5 {found[path].md5}", remedy)
            yield Finding(f"DVC cache object {path}", *words, items=wanted[md5])


def check_remote(wanted: Wanted, hasher: Hasher) -> Iterator[Finding]:
    """The same of the default remote, every object of which is read; one that is not there is unproven.

    Raises:
      ValueError: no remote is configured, or it cannot be read.
    """
    with Repo(str(paths.ROOT)) as repo:
        try:
            remote = repo.cloud.get_remote_odb()
        except (DvcException, ImportError) as error:
            remedy = "Add one (dvc remote add -d), or install what one of its kind needs, as dvc[s3] for S3."
            raise ValueError(f"--remote: DVC has no remote to look into ({_shown(error)}). {remedy}") from error
        for md5, items in wanted.items():
            path = remote.oid_to_path(md5)
            own = Finding(
                f"DVC remote object {_shown(path)}", f"md5 {md5}", "no such object", "dvc push", UNPROVEN, items
            )
            try:
                with remote.fs.open(path, "rb") as file:
                    found = hasher.read(file).md5
            except Exception as error:  # each kind of remote has its library, and each library its own errors
                cause = error.__cause__ or error  # fsspec says of a web server that is away that the file is not there
                away = "aiohttp" in type(cause).__module__ and getattr(cause, "status", None) != 404
                if isinstance(error, FileNotFoundError) and not away:
                    yield own
                    continue
                why = f"{_shown(path)} cannot be read ({type(cause).__name__}: {_shown(cause)})"
                raise ValueError(f"--remote: {why}. Look at its address and keys: dvc remote list.") from error
            if found != md5.removesuffix(FOLDER):
                remedy = "remove it there, then dvc push; and have DVC look itself: dvc remote modify NAME verify true"
                yield Finding(own.object, own.expected, f"md5 {found}", remedy, items=items)


def _shown(text: object) -> str:
    """Without the user and the password of an address in it."""
    return re.sub(r"\w+://\S+", lambda found: without_secrets(found[0]), str(text))


def check_checkpoints(hasher: Hasher) -> Iterator[Finding]:
    """Checkpoints of runs that are under way or were killed."""
    there = sorted(path for path in paths.CHECKPOINTS.rglob("*.npz") if NAME.fullmatch(path.stem))
    for path, found in hasher.each(there).items():
        if found.sha256 != (named := path.stem.partition("-")[2]):
            remedy = f"rm {path}; training goes on from the checkpoint before it"
            words = (f"sha256 {named} (its name)", f"sha256 {found.sha256}", remedy)
            yield Finding(path.relative_to(paths.STATE).as_posix(), *words)


def check_compiled(code: Mapping[str, Iterable[str]]) -> Iterator[Finding]:
    """Compiled modules that Python runs in the place of sources that they are not made of, though not in an audit;
    and what it imports in the place of a source.

    `code` has the files of the code of each item. Python looks at time and size of a source alone.
    """
    every = (source for top in OURS for source in (paths.ROOT / top).rglob("*.py"))
    users: dict[str, tuple[str, ...]] = {source.relative_to(paths.ROOT).as_posix(): () for source in every}
    for item, names in code.items():
        users |= {name: (*users.get(name, ()), item) for name in names}
    for name, other in shadowed(paths.ROOT, users):
        remedy = f"rm {other}" + (f", then, of each item: {AGAIN.format(name=users[name][0])}" if users[name] else "")
        yield Finding(other, f"{name}, imported", "imported in its place", remedy, items=users[name])
    # Where stages find them, and not this process, which was started so that it finds none.
    before, sys.pycache_prefix = sys.pycache_prefix, os.environ.get("PYTHONPYCACHEPREFIX") or None
    try:
        for name, items in users.items():
            source = paths.ROOT / name
            compiled, made, runs = Path(importlib.util.cache_from_source(str(source))), None, None
            if not source.is_file() or not compiled.is_file():
                continue
            with contextlib.suppress(SyntaxError):  # of a module that no item runs
                # Python compiles it anew if time or size differ.
                runs = SourceFileLoader(name, str(source)).get_code(name)
                made = compile(source.read_bytes(), str(source), "exec", dont_inherit=True)
            if runs != made:
                remedy = f"rm {compiled}" + (f", then, of each item: {AGAIN.format(name=items[0])}" if items else "")
                yield Finding(str(compiled), f"{name}, compiled", "other code", remedy, items=items)
    finally:
        sys.pycache_prefix = before
