"""What a rule that learned to remember does to a lone synapse, beside the textbook rules. Reads tables only."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from pipeline.run.artifacts import Table
from pipeline.show.measures import Results

LIKE = 0.9  # the cosine from which on the w of a fitted delta rule says something


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float((a * b).sum() / max(np.sqrt((a * a).sum() * (b * b).sum()), np.finfo(float).tiny))


class Textbook(NamedTuple):
    """What a textbook rule would change where the learned rule is looked at, and how alike the two are."""

    change: Float[np.ndarray, "pre post"]
    cosine: float
    held: float  # the w of the delta rule x (y - w x) that is most like the learned one; Hebb's rule has 0


def textbook(table: Table, state: str, index: int) -> dict[str, Textbook]:
    """Hebb's rule, and the delta rule of the w that fits best: least squares of the change on x y and x^2.

    A rule that ignores what a synapse holds has w = 0 and is Hebb's.
    """
    learned = table.arrays[f"{state}/change"][index].astype(np.float64)
    ends = table.arrays["ends"].astype(np.float64)
    pre, post = np.meshgrid(ends, ends, indexing="ij")
    hebb, own = pre * post, pre * pre
    slope = (learned * hebb).sum() / (hebb * hebb).sum()  # over ends that are symmetric, x y and x^2 are orthogonal
    held = -(learned * own).sum() / (own * own).sum() / slope if slope else 0.0
    delta = hebb - held * own
    return {
        "hebb": Textbook(hebb, cosine(learned, hebb), 0.0),
        "delta": Textbook(delta, cosine(learned, delta), float(held)),
    }


def words(found: Results) -> list[str]:
    """What the learned rule is like, one sentence for each horizon that was looked at."""
    sentences = []
    for key in found:
        if key.metric == "fresh_like_hebb":
            fresh, hebb, delta, held = (
                found[key._replace(metric=metric)]["value"]
                for metric in ("fresh_like_hebb", "stored_like_hebb", "stored_like_delta", "stored_held")
            )
            answers = f" that takes the synapse to answer {held:.2f} of the cue already" if delta >= LIKE else ""
            sentences.append(
                f"To remember {key.at}: with Hebb {fresh:.2f} where nothing is stored; after one snippet {hebb:.2f}, "
                f"and {delta:.2f} with the nearest delta rule{answers}."
            )
    return sentences
