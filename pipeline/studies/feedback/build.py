"""From a section of `feedback.experiments` to what learns and what it learns: shared by training and testing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from pipeline.run import artifacts
from pipeline.studies.feedback.params import Descent, Drawings, Experiment, Glyphs, Pretrained, Sines
from vsml.core.scores import cross_entropy
from vsml.core.types import RandomKey, Theta
from vsml.feedback import descent, local_plasticity, tasks
from vsml.feedback.glyphs import SIDE, glyphs
from vsml.feedback.lifetime import HEAD, query_loss, schooled_loss, squared_error
from vsml.feedback.network import System, Trunk, initial_layers
from vsml.meta.estimators import Draw
from vsml.meta.losses import MetaLoss, Score
from vsml.tasks.datasets import SETS

Pool = UInt8[np.ndarray, "class drawing pixel"]
Where = Callable[[str], Path]  # a set's file lies


def score(section: Experiment) -> Score:
    return squared_error if isinstance(section.task, Sines) else cross_entropy


def settings(section: Experiment) -> dict[str, Any]:
    """What is stored with the rule that an experiment learns: all that makes the learner, but for its sizes."""
    own = section.learner
    if isinstance(own, Pretrained):  # its episodes are plain descent
        own = Descent(name="descent", plastic=own.plastic, order="first", rate=own.rate, per=None, clip=own.clip)
    return own.model_dump()


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
    sizes, own = (features, *network.hidden_layers, outputs), settings(section)
    if own.pop("name") == "local_plasticity":
        rule = local_plasticity.Rule(**own)
        return System(local_plasticity.local_plasticity(sizes, rule, classifies=trunk is not None), trunk)
    return System(descent.descent(sizes, descent.Descent(**own), score(section)), trunk)


def course(section: Experiment, questions: int | None = None) -> tasks.Course:
    """That of meta-training; for tests, with other `questions`."""
    task = section.task
    return tasks.Course(task.parts, task.support, questions or task.queries, task.in_order)


class School(NamedTuple):
    """What meta-training works on: the initial theta, what episodes are worth, and the episodes."""

    init_theta: Callable[[RandomKey], Theta]
    loss: MetaLoss
    draw: Draw


def school(section: Experiment, where: Where) -> School:
    """That of an experiment. A pretrained network does not learn in it; of characters its last layer is then zero."""
    own, taught, pretrained = system(section), course(section), isinstance(section.learner, Pretrained)
    if pretrained:
        loss = schooled_loss(own, score(section))
    else:
        loss = query_loss(own, score(section), taught.length, section.training.segment)
    if isinstance(section.task, Sines) or not pretrained:
        return School(own.init_theta, loss, draw(section, where))
    pool, examples = train_pool(section.task, where), taught.parts * (taught.support + taught.queries)

    def init_theta(key: RandomKey) -> Theta:
        own_key, head_key = jax.random.split(key)
        theta = own.init_theta(own_key)
        *_, last = theta["forward"]
        layer = theta["forward"][last]
        # What is known of school's classes goes with the head; random answers about new ones would be noise.
        forward = theta["forward"] | {last: jax.tree.map(jnp.zeros_like, layer)}
        head = initial_layers([(layer["w"].shape[0], len(pool))], head_key)["0"]
        return theta | {"forward": forward, HEAD: head}

    return School(init_theta, loss, tasks.catalogue(jnp.asarray(pool), examples, _hands(section.task)))


def draw(section: Experiment, where: Where, questions: int | None = None) -> Draw:
    """Episodes of an experiment's task: to train on, or with `questions` to test on."""
    task, chosen = section.task, course(section, questions)
    if isinstance(task, Sines):
        return tasks.sines(chosen, task.points, task.functions if questions is None else None)
    if questions is None:
        return tasks.characters(chosen, jnp.asarray(train_pool(task, where)), task.outputs, _hands(task))
    return tasks.characters(chosen, jnp.asarray(_pool(task, "test", where)), task.outputs)


def train_pool(task: Glyphs | Drawings, where: Where) -> Pool:
    """The classes of meta-training, turned and mirrored ones among them as the task wants."""
    pool = _pool(task, "train", where)
    pictures = pool.reshape(*pool.shape[:2], *_image(task))
    if task.rotated:  # four classes of each: turned by 0, 90, 180 and 270 degrees
        pictures = np.concatenate([np.rot90(pictures, turns, axes=(2, 3)) for turns in range(4)])
    if task.mirrored:  # two classes of each; with all four turns, a mirror in one axis is enough
        pictures = np.concatenate([pictures, pictures[:, :, :, ::-1]])
    return pictures.reshape(len(pictures), *pool.shape[1:])


def _pool(task: Glyphs | Drawings, split: Literal["train", "test"], where: Where) -> Pool:
    """The drawings by class, ink high.

    Raises:
      ValueError: classes of a set have not all as many drawings.
    """
    if isinstance(task, Glyphs):
        seed, classes = {"train": (7001, task.train_classes), "test": (7002, task.test_classes)}[split]
        return np.asarray(glyphs(jax.random.key(seed), classes, task.drawings))
    path = where(task.train_set if split == "train" else task.test_set)
    table = artifacts.read_table(path).arrays
    known, counts = np.unique(table["y"], return_counts=True)
    if len(set(counts.tolist())) != 1:
        raise ValueError(f"{path} has classes of {counts.min()} to {counts.max()} drawings; all must have as many.")
    order = np.argsort(table["y"], kind="stable")
    return 255 - table["x"][order].reshape(len(known), int(counts[0]), -1)


def _hands(task: Glyphs | Drawings) -> tasks.Hands | None:
    return tasks.Hands(_image(task), task.jitter) if task.jitter else None


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
