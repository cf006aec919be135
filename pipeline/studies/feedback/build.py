"""From a section of `feedback.experiments` to what learns and what it learns: shared by training and testing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from pipeline.run import artifacts
from pipeline.studies.feedback.params import Drawings, Experiment, Glyphs, LocalPlasticity, Pretrained, Sines
from vsml.core.scores import cross_entropy
from vsml.core.types import RandomKey, Theta
from vsml.feedback import descent, local_plasticity, tasks
from vsml.feedback.glyphs import SIDE, glyphs
from vsml.feedback.lifetime import HEAD, question_loss, schooled_loss, squared_error
from vsml.feedback.network import System, Trunk, newborn
from vsml.meta.estimators import Draw
from vsml.meta.losses import MetaLoss, Score
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
    sizes, own = (features, *network.hidden_layers, outputs), living(section)
    if isinstance(own, local_plasticity.Rule):
        return System(local_plasticity.local_plasticity(sizes, own, classifies=trunk is not None), trunk)
    return System(descent.descent(sizes, own, score(section)), trunk)


def living(section: Experiment) -> local_plasticity.Rule | descent.Descent:
    """What learns in a life."""
    match section.learner:
        case LocalPlasticity() as own:
            return local_plasticity.Rule(**own.model_dump(exclude={"name"}))
        case Pretrained(plastic=plastic, rate=rate, clip=clip):
            return descent.Descent(plastic, "first", rate, None, clip)
        case own:
            return descent.Descent(**own.model_dump(exclude={"name"}))


def settings(section: Experiment) -> dict[str, Any]:
    """What is stored with the rule that an experiment learns: all that makes the learner, but for its sizes."""
    own = living(section)
    return {"name": "descent" if isinstance(own, descent.Descent) else "local_plasticity"} | own._asdict()


def course(section: Experiment, questions: int | None = None) -> tasks.Course:
    """That of meta-training; for tests, with other `questions`."""
    task = section.task
    return tasks.Course(task.parts, task.lessons, questions or task.questions, task.in_order)


class School(NamedTuple):
    """What meta-training works on: theta as it is born, what its lives are worth, and the lives."""

    init_theta: Callable[[RandomKey], Theta]
    loss: MetaLoss
    draw: Draw


def school(section: Experiment, where: Callable[[str], Path]) -> School:
    """That of an experiment. A pretrained network does not live in it; of characters its last layer is then zero."""
    own, taught = system(section), course(section)
    if not isinstance(section.learner, Pretrained):
        loss = question_loss(own, score(section), taught.length, section.training.segment)
        return School(own.init_theta, loss, draw(section, where))
    loss = schooled_loss(own, score(section))
    if isinstance(section.task, Sines):
        return School(own.init_theta, loss, draw(section, where))
    pool, examples = train_pool(section.task, where), taught.parts * (taught.lessons + taught.questions)

    def init_theta(key: RandomKey) -> Theta:
        own_key, head_key = jax.random.split(key)
        theta = own.init_theta(own_key)
        *below, last = theta["forward"]
        layer = theta["forward"][last]
        # What is known of school's classes goes with the head; random answers about new ones would be noise.
        forward = {name: theta["forward"][name] for name in below} | {last: jax.tree.map(jnp.zeros_like, layer)}
        head = newborn([(layer["w"].shape[0], len(pool))], head_key)["0"]
        return theta | {"forward": forward, HEAD: head}

    return School(init_theta, loss, tasks.catalogue(jnp.asarray(pool), examples, _hands(section.task)))


def draw(section: Experiment, where: Callable[[str], Path], questions: int | None = None) -> Draw:
    """Episodes of an experiment's task: to train on, or with `questions` to test on. `where` a set's file lies."""
    task, chosen = section.task, course(section, questions)
    if isinstance(task, Sines):
        return tasks.sines(chosen, task.points, task.functions if questions is None else None)
    if questions is None:
        return tasks.characters(chosen, jnp.asarray(train_pool(task, where)), task.outputs, _hands(task))
    return tasks.characters(chosen, jnp.asarray(_test_pool(task, where)), task.outputs)


def train_pool(task: Glyphs | Drawings, where: Callable[[str], Path]) -> UInt8[np.ndarray, "class drawing pixel"]:
    """The classes of meta-training, turned and mirrored ones among them as the task wants."""
    if isinstance(task, Glyphs):
        pool = np.asarray(glyphs(jax.random.wrap_key_data(TRAIN_CLASSES), task.train_classes, task.drawings))
    else:
        pool = _pool(where(task.train_set))
    pool = _rotated(pool, _image(task)) if task.rotated else pool
    return _mirrored(pool, _image(task)) if task.mirrored else pool


def _test_pool(task: Glyphs | Drawings, where: Callable[[str], Path]) -> UInt8[np.ndarray, "class drawing pixel"]:
    if isinstance(task, Glyphs):
        return np.asarray(glyphs(jax.random.wrap_key_data(TEST_CLASSES), task.test_classes, task.drawings))
    return _pool(where(task.test_set))


def _hands(task: Glyphs | Drawings) -> tasks.Hands | None:
    return tasks.Hands(_image(task), task.jitter) if task.jitter else None


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


def _mirrored(
    pool: UInt8[np.ndarray, "class drawing pixel"], image: tuple[int, int, int]
) -> UInt8[np.ndarray, "two_classes drawing pixel"]:
    """Two classes of each: as it is, and as in a mirror. With all four turns, a mirror in one axis is enough."""
    pictures = pool.reshape(*pool.shape[:2], *image)
    return np.concatenate([pool, pictures[:, :, :, ::-1].reshape(pool.shape)])
