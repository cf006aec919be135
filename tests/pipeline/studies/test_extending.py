"""docs/extending.md: its examples are files that work."""

import re
from fnmatch import fnmatchcase
from types import ModuleType

import jax
import numpy as np
import pytest

from pipeline.run import paths
from pipeline.run.artifacts import Table
from pipeline.run.flow import Flow
from pipeline.show.looks import LOOKS
from pipeline.show.style import pixels, save
from pipeline.studies import params
from pipeline.studies.learning.tables import Profile
from pipeline.studies.stages import figure_module

TEXT = (paths.ROOT / "docs/extending.md").read_text()
EXAMPLES = dict(re.findall(r"<!-- example: (\S+) -->\n```python\n(.*?)```", TEXT, re.DOTALL))
FIGURE, LEARNER = "pipeline/studies/learning/figures/half_right.py", "vsml/learners/perceptron.py"


def example(name: str) -> ModuleType:
    module = ModuleType(name)
    exec(compile(EXAMPLES[name], name, "exec"), vars(module))
    return module


def right_after(examples: int, *shape: int) -> np.ndarray:
    """[*shape, time] of episodes that are wrong at first, and right after so many examples."""
    return np.broadcast_to(np.arange(40) >= examples, (*shape, 40))


def test_the_figure_shows_when_half_was_right(tmp_path):
    own, module = params.read(paths.ROOT / "params.yaml"), example(FIGURE)
    profile = Profile.of(own)
    waits = {name: wait for wait, name in enumerate(own.items.baselines, start=3)}
    tables = {
        f"meta_test/vsml-{seed}.npz": Table({f"{task}/correct": right_after(10, 2) for task in profile.tasks}, {})
        for seed in own.items.seeds
    }
    for name, wait in waits.items():  # their second rate is better
        correct = np.stack([right_after(30, 2), right_after(wait, 2)])
        arrays = {f"{task}/correct": correct for task in profile.tasks} | {"rate": np.array([0.1, 0.2])}
        tables[f"baseline/{name}.npz"] = Table(arrays, {})
    assert all(any(fnmatchcase(name, need) for need in module.NEEDS) for name in tables)
    figure = module.draw(tables, profile)
    (axes,) = figure.axes
    marks = {line.get_label(): line.get_xdata().tolist() for line in axes.lines}
    assert marks == {
        LOOKS[name].name: [max(2 * wait, module.FIRST)] * 6 for name, wait in (waits | {"vsml": 10}).items()
    }
    assert len(axes.get_yticks()) == len(profile.tasks) == 6
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(marks)
    save(figure, tmp_path / "half_right.png")
    assert pixels(tmp_path / "half_right.png").std() > 0
    assert module.CAPTION.partition(". ")[0] == "Half right" and module.ALT
    assert module.examples(right_after(10, 2, 3)) == 20
    assert np.isnan(module.examples(right_after(25, 2, 3))), "who is never half right has no mark"


def test_the_command_that_draws_it_names_the_entry_of_its_study():
    assert list(EXAMPLES) == [FIGURE, LEARNER]
    (study, name) = re.findall(r"dvc repro (\w+)_figure@(\w+)", TEXT)[0]
    assert f"pipeline/studies/{study}/figures/{name}.py" == FIGURE and f"list `{study}`" in TEXT
    drawn = [item for item in Flow(paths.ROOT).items() if item.name.startswith(f"{study}_figure@")]
    assert drawn and {figure_module(*item.words).split(".")[2] for item in drawn} == {study}


@pytest.mark.parametrize("told", [0, 1])
def test_the_perceptron_predicts_before_the_label_and_learns(told):
    learner = example(LEARNER).perceptron(3, 2)
    state = learner.init_state((), jax.random.key(0))
    x, label = jax.numpy.asarray([1.0, -2.0, 0.5]), jax.nn.one_hot(told, 2)
    state, logits = learner.step((), state, x, label)
    np.testing.assert_array_equal(logits, 0)
    assert int(learner.step((), state, x, label)[1].argmax()) == told
