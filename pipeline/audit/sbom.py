"""The packages of this environment as a CycloneDX 1.6 list, with the sha256 that requirements.lock allows of each."""

import importlib.metadata
import platform
import re
from pathlib import Path
from typing import Any

from pipeline import paths

PIN = re.compile(r"^(?P<name>[\w.\-\[\],]+)==(?P<version>[^\s;\\]+)")
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def sbom() -> dict[str, Any]:
    """All installed distributions; what the lock does not pin has no sha256, which shows."""
    locked = locked_hashes(paths.ROOT / "requirements.lock")
    found = {_plain(one.metadata["Name"]): one for one in importlib.metadata.distributions()}
    components = [
        _component(name, found[name].version, locked.get((name, found[name].version), [])) for name in sorted(found)
    ]
    interpreter = {"type": "platform", "name": platform.python_implementation(), "version": platform.python_version()}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": interpreter},
        "components": components,
    }


def locked_hashes(lock: Path) -> dict[tuple[str, str], list[str]]:
    """The sha256 of the files of each pinned version; of which one was installed, pip keeps no record."""
    hashes: dict[tuple[str, str], list[str]] = {}
    key = None
    for line in lock.read_text(encoding="utf-8").splitlines():
        if pin := PIN.match(line):
            key = (_plain(pin["name"].partition("[")[0]), pin["version"])
        if key is not None:
            hashes.setdefault(key, []).extend(HASH.findall(line))
    return hashes


def _component(name: str, version: str, hashes: list[str]) -> dict[str, Any]:
    allowed = [{"name": "vsml:requirements.lock:sha256", "value": one} for one in hashes]
    own = {"type": "library", "name": name, "version": version, "purl": f"pkg:pypi/{name}@{version}"}
    return own | ({"properties": allowed} if allowed else {})


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
