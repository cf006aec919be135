"""Meta-train a rule on images of digits, keep it, and let it learn what it has never met: wines."""

import argparse

import numpy as np
from sklearn.datasets import load_digits, load_wine

import vsml
from vsml.tasks.datasets import SETS
from vsml.tasks.episodes import Source, Task, stream
from vsml.tasks.views import view

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("steps", nargs="?", type=int, default=400, help="of meta-training (default: 400)")
steps = parser.parse_args().steps
digits = Source(SETS["digits"], *map(np.asarray, load_digits(return_X_y=True)))
# Every episode is a new task: four digits, seen as 16 random mixtures of their pixels.
draw = stream([Task(digits, view("projected", None, features=64, inputs=16), classes=4)], length=60)


def show(step, theta, report):
    if step % 50 == 0:
        print(f"meta-step {step}: loss {report.loss:.3f} nats")


rule = vsml.meta_train(draw, steps, callback=show)
vsml.save(rule, "mine.npz")
x, y = load_wine(return_X_y=True)
model = vsml.VSMLClassifier("mine.npz").fit(x[::2], y[::2])
print(f"{model.score(x[1::2], y[1::2]):.3f} of new wines are classified right")
