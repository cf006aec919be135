"""Rules of the sibling systems, meta-trained for a moment, shipped and loaded through the doors that users use."""

import re

import pytest

USE = """
import doctest, jax, jax.numpy as jnp, vsml
from vsml.core.types import Episode
print(doctest.testmod(vsml))
features = classes = 8
episode = Episode(jnp.ones((3, 8)), jnp.ones((3, 8)))
"""


@pytest.mark.slow
def test_rules_of_the_siblings_ship_and_live_as_their_cards_and_docstring_say(clone, tiny, write_params):
    tiny["items"] |= {"recall": ["direct"], "feedback": ["flp_on_sines"]}
    tiny["items"] |= {name: [0] for name in tiny["items"] if name.endswith("seeds")}
    tiny["recall"]["tests"]["thorough"] = []
    tiny["feedback"]["defaults"]["task"]["parts"] = 5  # of which the docstring speaks
    write_params(clone.root / "params.yaml", tiny)
    systems = ("recall_train direct 0", "recall_test direct 0", "feedback_train flp_on_sines 0")
    clone.stages("train_data digits", "test_data iris", *systems, "feedback_test flp_on_sines 0")
    refused = clone.start("python", "-m", "pipeline", "ship", "direct", "0", "recall_direct")
    assert "The tree is dirty" in refused.communicate(timeout=60)[1] and refused.returncode == 1

    zoo, codes = clone.root / "vsml/zoo", []
    for experiment, name, rule in (
        ("direct", "recall_direct", "recall_train/direct-0.npz"),
        ("flp_on_sines", "flp_sines", "feedback_train/flp_on_sines-0/rule.npz"),
    ):
        clone.commit()
        clone.run("python", "-m", "pipeline", "ship", experiment, "0", name)
        assert (zoo / f"{name}.npz").read_bytes() == (clone.root / "artifacts" / rule).read_bytes()
        (code,) = re.findall(r"```python\n(.*?)```", (zoo / f"{name}.md").read_text(), re.DOTALL)
        codes.append(code)
    assert (zoo / "flp_sines.json").exists() and not (zoo / "recall_direct.json").exists()

    between = "print(rule.name, predictions.shape)\nepisode = Episode(jnp.ones((3, 6)), jnp.ones((3, 1)))\n"
    said = clone.run("python", "-c", USE + between.join([*codes, ""]))
    assert re.search(r"TestResults\(failed=0, attempted=2\d\)", said), said
    assert "recall_direct (3, 8)\nflp_sines (3, 1)\n" in said
