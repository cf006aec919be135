"""Figures: drawn from tables, the same bytes in every process, and legible in what they say."""

import importlib
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from pipeline import figures, params, paths
from pipeline.artifacts import sha256_file

NAMES = params.read(paths.ROOT / "params.yaml").items.figures
DRAW = "import sys; from importlib import import_module as get; get('pipeline.stages.figure').main([sys.argv[1]])"


def _draw(name):
    importlib.import_module("pipeline.stages.figure").main([name])
    return {ending: paths.figure(name, ending) for ending in ("png", "pdf")}


@pytest.mark.parametrize("name", NAMES)
def test_two_processes_write_the_same_bytes(profile, name):
    digests = {ending: sha256_file(path) for ending, path in _draw(name).items()}
    settings = {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "SOURCE_DATE_EPOCH": "0"}
    (profile / "matplotlibrc").write_text("font.size: 30")  # that of a user, in the folder of the run
    subprocess.run([sys.executable, "-c", DRAW, name], check=True, env=os.environ | settings)
    (profile / "matplotlibrc").unlink()
    assert {ending: sha256_file(paths.figure(name, ending)) for ending in digests} == digests


@pytest.mark.parametrize("name", NAMES)
def test_files_hold_no_date_and_no_version(profile, name):
    files = _draw(name)
    chunks = re.findall(rb"tEXt|iTXt|zTXt|tIME", files["png"].read_bytes())
    assert not chunks
    assert not re.search(rb"/(CreationDate|ModDate|Producer|Creator)", files["pdf"].read_bytes())


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_fits_its_width_and_says_what_it_shows(profile, items, name):
    module = figures.module(name, items)
    width = int.from_bytes(_draw(name)["png"].read_bytes()[16:20])
    assert width in (700, 1440)
    assert len(module.ALT) > 60
    assert "deviation" in module.CAPTION or "running mean" in module.CAPTION


def test_left_over_tables_of_other_seeds_are_not_drawn(profile, items):
    without_last = items.model_copy(update={"seeds": items.seeds[:-1]})
    found = figures.read(("meta_test/vsml-*.npz",), without_last)
    assert list(found) == ["meta_test/vsml-0.npz", "meta_test/vsml-1.npz"]


def test_an_unknown_figure_is_named(items):
    with pytest.raises(ValueError, match="'pie' is none of the figures"):
        figures.module("pie", items)


def test_labels_move_apart_no_further_than_needed():
    style = importlib.import_module("pipeline.figures.style")
    assert style.apart([0.2, 0.5, 0.52, 0.9], 0.1) == pytest.approx([0.2, 0.46, 0.56, 0.9])
    assert np.diff(style.apart([0.5] * 5, 0.1)) == pytest.approx([0.1] * 4)


def test_each_learner_has_its_own_colour_line_and_marker():
    looks = importlib.import_module("pipeline.figures.style").LOOKS.values()
    for trait in ("name", "colour", "line", "marker"):
        assert len({getattr(look, trait) for look in looks}) == len(looks), trait
