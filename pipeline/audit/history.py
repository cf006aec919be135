"""What git holds: whether a commit is there, and the bytes of a file in it."""

import hashlib
import subprocess
import threading
from pathlib import Path


class History:
    """The commits of one repository, through one `git cat-file` that answers them all."""

    def __init__(self, root: Path) -> None:
        command = ["git", "-C", str(root), "cat-file", "--batch"]
        pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
        self._git = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=nothing)
        self._lock = threading.Lock()
        self._known: dict[str, str | None] = {}

    def __enter__(self) -> "History":
        return self

    def __exit__(self, *error: object) -> None:
        self._git.communicate()

    def has(self, commit: str) -> bool:
        return bool(commit) and commit.isalnum() and self._ask(f"{commit}^{{commit}}") is not None

    def sha256(self, commit: str, path: str) -> str | None:
        """The sha256 of a file as that commit has it, or None."""
        name = f"{commit}:{path}"
        if name not in self._known:
            content = self._ask(name)
            self._known[name] = None if content is None else hashlib.sha256(content).hexdigest()
        return self._known[name]

    def content(self, commit: str, path: str) -> bytes | None:
        return self._ask(f"{commit}:{path}")

    def _ask(self, name: str) -> bytes | None:
        assert self._git.stdin is not None and self._git.stdout is not None
        with self._lock:
            if self._git.poll() is not None:
                return None  # no repository of git
            self._git.stdin.write(f"{name}\n".encode())
            self._git.stdin.flush()
            head = self._git.stdout.readline().split()
            if len(head) != 3:  # "… missing"
                return None
            content = self._git.stdout.read(int(head[2]))
            self._git.stdout.read(1)
            return content
