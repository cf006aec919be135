"""The packages of this environment as a CycloneDX 1.6 list."""

import json
import platform
import subprocess
import sys
from typing import Any


def sbom() -> dict[str, Any]:
    """All installed distributions with their licences and what each needs, as cyclonedx-bom lists them.

    The list has no clock and no path of this machine, so the same packages give the same list. The sha256 of what may
    be installed of each version are in requirements.lock; of which file was installed, pip keeps no record.

    Raises:
      RuntimeError: the list cannot be made.
    """
    command = [sys.executable, "-P", "-m", "cyclonedx_py", "environment"]  # -P: not what lies in this folder
    # To validate takes twenty times as long as to list; tests/pipeline/audit/test_bundle.py does it.
    command += ["--output-reproducible", "--no-validate", "--sv", "1.6"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    if done.returncode:
        raise RuntimeError(f"cyclonedx-py ended with exit code {done.returncode}: {done.stderr.strip()}")
    listed = json.loads(done.stdout)
    interpreter = {"type": "platform", "name": platform.python_implementation(), "version": platform.python_version()}
    listed["metadata"]["component"] = interpreter
    for component in listed["components"]:
        links = [link for link in component.pop("externalReferences", []) if not link["url"].startswith("file:")]
        if links:
            component["externalReferences"] = links
    return listed
