"""Where the time of an item went."""

import json
import time

import jax
import jax.numpy as jnp

from pipeline.run import paths, phases


def test_compiling_is_told_from_computing_and_from_what_stands_around(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "JOBS", tmp_path)
    began = time.monotonic()
    with phases.measured("stage@item", by_jax=True):
        jax.jit(lambda x: jnp.sin(x) @ jnp.cos(x.T))(jnp.ones((3, 5)))  # is compiled
        computed = time.monotonic()
        time.sleep(0.3)
    whole = time.monotonic() - began
    found = json.loads(phases.file("stage@item").read_text())
    assert 0 < found["compiling"] <= computed - began and found["computing"] >= 0.3
    assert found["compiling"] + found["computing"] <= whole + 0.02
    phases.add_starting("stage@item", whole + 2.0)
    again = json.loads(phases.file("stage@item").read_text())
    assert again.items() > found.items() and 1.9 < again["starting"] < 2.5
    phases.add_starting("stage@elsewhere", 1.0)  # as of an item that ran as a Job
    assert not phases.file("stage@elsewhere").exists()
