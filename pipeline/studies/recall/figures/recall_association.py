"""One exposure of an image, by rules that learned to remember random bits and by VSML, in the same episodes."""

import numpy as np

from pipeline.show.looks import LOOKS
from pipeline.show.style import FAINT, PAGE, SHADES, Figure, curve, legend_outside, panels
from pipeline.studies.learning.association import of_learners, when
from pipeline.studies.learning.tables import RULE, Profile, Tables
from pipeline.studies.recall.measures import of_images, own_gains, tests, thorough

NEEDS = ("recall_test/*.npz", "introspect/vsml-*.npz")
ALT = (
    "A panel for each age of the learners: what one exposure of an image adds to the probability of its class, less "
    "what images of other classes gain, over the examples that follow. A curve for each number of snippets that a "
    "rule was trained to remember, and one each for VSML and for SGD at its best rate."
)
CAPTION = (
    "Rules that learned to remember as a memory of images. Our reconstruction: rules of the direct network, "
    "meta-trained on random bits to remember the last D, learn to classify images of {introspected}, which they never "
    "saw, in a network of that size. As in the figure of one exposure: what an image that is shown once, with its "
    "label, adds to the probability of its class, against the same episode without it, as more examples follow; here "
    "less what images of other classes gain. The very same {looks} episodes for all; mean, and of rules \u00b1 1 "
    "standard deviation over meta-seeds."
)
BESIDE = (RULE, "sgd")


def draw(tables: Tables, profile: Profile) -> Figure:
    experiment = thorough(tables)[0]
    ages = tests(tables, experiment)[0]["age"].tolist()
    remembering, seen = enumerate(of_images(tables, experiment).items()), dict(of_learners(tables, RULE))
    curves = [(gained, SHADES[i % 4] | {"label": f"remembers {horizon}"}) for i, (horizon, gained) in remembering]
    curves += [(own_gains(seen[name]), LOOKS[name].style) for name in BESIDE]
    figure = Figure((PAGE, 2.5))
    grid = panels(figure, len(ages))
    for at, (axes, age) in enumerate(zip(grid, ages, strict=True)):
        for gained, style in curves:
            curve(axes, np.arange(gained.shape[-1]), gained[:, at].mean(1), style)
        axes.axhline(0, color=FAINT, linewidth=0.5, zorder=0)
        axes.set(title=when(age), xlabel="examples since the exposure")
        axes.margins(x=0)
    grid[0].set(ylabel="added, less other classes", ylim=(-0.22, 1.05), yticks=(0, 0.5, 1))
    legend_outside(figure, grid[0], "upper center", len(curves), 6.5)
    return figure
