"""From a section of `feedback.experiments` to what learns and what it learns: shared by training and testing."""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from pipeline import artifacts
from pipeline.sections.feedback import Drawings, Experiment, Glyphs, LocalPlasticity, Sines
from vsml.core.scores import cross_entropy
from vsml.feedback import descent, local_plasticity, tasks
from vsml.feedback.glyphs import SIDE, glyphs
from vsml.feedback.lifetime import squared_error
from vsml.feedback.network import System, Trunk
from vsml.meta.estimators import Draw
from vsml.meta.losses import Score
from vsml.tasks.datasets import SETS

TRAIN_CLASSES, TEST_CLASSES = jax.random.key_data(jax.random.key(7001)), jax.random.key_data(jax.random.key(7002))


def score(section: Experiment) -> Score:
    return squared_error if isinstance(section.task, Sines) else cross_entropy


def system(section: Experiment) -> System:
    """The learner of an experiment, behind its trunk if it has one.

    Raises:
      ValueError: convolutions for a task without images.
    """
    task, network = section.task, section.network
    if isinstance(task, Sines):
        features, outputs, trunk = task.parts + 1, 1, None
        if network.convolutions:
            raise ValueError(f"convolutions (={network.convolutions}) are for images, and sines are none: remove them.")
    else:
        trunk, outputs = Trunk(_image(task), network.convolutions), task.outputs
        features = trunk.features
    sizes, own = (features, *network.hidden_layers, outputs), section.learner
    if isinstance(own, LocalPlasticity):
        rule = local_plasticity.Rule(**own.model_dump(exclude={"name"}))
        return System(local_plasticity.local_plasticity(sizes, rule, classifies=trunk is not None), trunk)
    how = descent.Descent(**own.model_dump(exclude={"name"}))
    return System(descent.descent(sizes, how, score(section)), trunk)


def course(section: Experiment, questions: int | None = None) -> tasks.Course:
    """That of meta-training; for tests, with other `questions`."""
    task = section.task
    return tasks.Course(task.parts, task.lessons, questions or task.questions, task.in_order)


def draw(section: Experiment, where: Callable[[str], Path], questions: int | None = None) -> Draw:
    """Episodes of an experiment's task: to train on, or with `questions` to test on. `where` a set's file lies."""
    task, chosen = section.task, course(section, questions)
    if isinstance(task, Sines):
        return tasks.sines(chosen, task.points, task.functions if questions is None else None)
    if isinstance(task, Glyphs):
        test = questions is not None
        key = jax.random.wrap_key_data(TEST_CLASSES if test else TRAIN_CLASSES)
        pool = np.asarray(glyphs(key, task.test_classes if test else task.train_classes, task.drawings))
    else:
        pool = _pool(where(task.test_set if questions is not None else task.train_set))
    if task.rotated and questions is None:
        pool = _rotated(pool, _image(task))
    return tasks.characters(chosen, jnp.asarray(pool), task.outputs)


def _pool(path: Path) -> UInt8[np.ndarray, "class drawing pixel"]:
    """The drawings of a set by class, ink high.

    Raises:
      ValueError: classes have not all as many drawings.
    """
    table = artifacts.read_table(path).arrays
    known, counts = np.unique(table["y"], return_counts=True)
    if len(set(counts.tolist())) != 1:
        raise ValueError(f"{path} has classes of {counts.min()} to {counts.max()} drawings; all must have as many.")
    order = np.argsort(table["y"], kind="stable")
    return 255 - table["x"][order].reshape(len(known), int(counts[0]), -1)


def _image(task: Glyphs | Drawings) -> tuple[int, int, int]:
    """Height, width and channels.

    Raises:
      ValueError: a set whose examples are no images.
    """
    if isinstance(task, Glyphs):
        return SIDE, SIDE, 1
    shape = SETS[task.train_set].shape
    if shape is None:
        raise ValueError(f"train_set (={task.train_set!r}) must be a set of images: name another one.")
    return shape


def _rotated(
    pool: UInt8[np.ndarray, "class drawing pixel"], image: tuple[int, int, int]
) -> UInt8[np.ndarray, "four_classes drawing pixel"]:
    """Four classes of each: turned by 0, 90, 180 and 270 degrees."""
    pictures = pool.reshape(*pool.shape[:2], *image)
    return np.concatenate([np.rot90(pictures, turns, axes=(2, 3)).reshape(pool.shape) for turns in range(4)])
