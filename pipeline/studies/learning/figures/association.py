"""Fast association: what each learner predicts while it is shown two images of each class twice (paper's figure 9)."""

import numpy as np

from pipeline.show.looks import GREY, LOOKS
from pipeline.show.measures import summary
from pipeline.show.style import FAINT, GUESSING, Figure, accuracy_axis, dot, heat_map, in_rows, note, panels, stacked
from pipeline.studies.learning.association import associations, masks_of_exposures
from pipeline.studies.learning.tables import PAPER, RULE, Profile, Tables, by_seed

NEEDS = ("introspect/vsml-*.npz",)
ALT = (
    "Heat maps, one each for VSML, SGD and Adam, of the probability of ten classes over forty examples, with the "
    "right class and the predicted one marked; below them, the mean probability of the right class at first and at "
    "second exposures, and of another image of a class right after the first."
)
CAPTION = (
    "Fast association. An episode of 40 examples: two images of each class in random order, each shown twice in a row. "
    "Heat maps: the probability given to each class before the label is seen, in the first episode of the first seed; "
    "square: the right class, circle: the predicted one, triangle above: the second exposure of the image just seen. "
    "Below: mean probability of the right class and ± 1 standard deviation over episodes, at the first image of a "
    "class, at the first exposure of its second image, at the second exposure of an image, and, in episodes where two "
    "different images of a class follow each other instead, at the second of them; VSML over {seeds} "
    "with {looks} episodes each, SGD and Adam over {looks} episodes, linear, at the learning rate that was best "
    "over whole episodes on {introspected}, in hindsight, and where it says so at the paper\u2019s. A large rate makes "
    "SGD repeat the last label that it was shown, with certainty, so a second exposure alone does not show "
    "association; how often each is right is in the tables."
)
KINDS = {
    "first_exposure": "First of a class",
    "second_image": "Second image, later",
    "second_exposure": "Same image again",
    "next_image": "Other image, next",
}
TRUTH = {"marker": "s", "ms": 8.5, "mfc": "none", "mec": "#E69F00", "mew": 1.2, "label": "right class"}
PREDICTION = {"marker": "o", "ms": 4, "mfc": "white", "mec": "black", "mew": 0.7, "label": "predicted class"}
AGAIN = {"marker": "v", "ms": 3, "color": GREY, "label": "second exposure"}


def draw(tables: Tables, profile: Profile) -> Figure:
    arrays = next(iter(by_seed(tables, "introspect", RULE).values())).arrays
    label, learners = arrays["label"][0], arrays["learner"].tolist()
    again = masks_of_exposures(arrays["label"], arrays["image"])["second_exposure"][0]
    height = 1.75 if len(learners) <= 3 else 1.4  # inches
    figure, top, bottom = stacked(height * len(learners) + 0.2, 0.75 + 0.2 * len(learners))

    # A heat map for each learner, of one episode.
    x = np.arange(len(label))
    maps = top.subplots(len(learners), 1)
    each = zip(maps, learners, arrays["rate"].tolist(), arrays["probability"][:, 0], strict=True)
    for axes, name, rate, probability in each:
        predicted = probability.argmax(-1)
        image = heat_map(axes, probability.T, "Greys", 1)
        axes.plot(x, label, linestyle="none", clip_on=False, **TRUTH)
        axes.plot(x, predicted, linestyle="none", **PREDICTION)
        axes.plot(x[again], np.full(again.sum(), -1.2), linestyle="none", clip_on=False, **AGAIN)
        for first in x[~again][1:]:
            axes.axvline(first - 0.5, color=FAINT, linewidth=0.5)
        tens = [0, *range(9, len(x), 10)]
        axes.set_xticks(tens, [str(tick + 1) for tick in tens])
        axes.set(ylabel="class", yticks=(0, 3, 6, 9))
        right = int((predicted == label)[again].sum())
        at = "" if np.isnan(rate) else f"{',' if name.endswith(PAPER) else ' at rate'} {rate:g}"
        axes.set_title(f"{LOOKS[name].name}{at}: {right} of {again.sum()} right at the second exposure", pad=9)
    top.colorbar(image, ax=maps, label="probability of the class", aspect=60, fraction=0.025, pad=0.01)
    maps[0].legend(loc="lower right", bbox_to_anchor=(1.0, 1.06), ncols=3, borderaxespad=0)
    maps[-1].set_xlabel("example")

    # A panel for each kind of exposure, a row for each learner.
    found = {(name, metric): summary(values) for name, metric, values in associations(tables, RULE)}
    for axes, (kind, words) in zip(panels(bottom, len(KINDS)), KINDS.items(), strict=True):
        axes.axvline(0.1, **GUESSING)
        for row, name in enumerate(learners):
            entry = found[name, f"{kind}_probability"]
            dot(axes, entry, row, LOOKS[name])
            note(axes, 1.05, row, entry["value"], LOOKS[name])
        axes.set_xlabel("probability")
        axes.set_title(words, fontweight="normal")
        in_rows(axes, [LOOKS[name].name for name in learners])
        accuracy_axis(axes, "x")
    return figure
