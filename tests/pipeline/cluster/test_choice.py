"""Where an item runs, by the environment and by what it needs."""

import pytest

from pipeline.cluster.execute import chosen

ITEMS = {("test_data", "digits"): True, ("test_data", "kmnist"): False, ("train_data", "mnist"): False}
ITEMS |= {("meta_train", "vsml", "0"): True, ("figure", "cloning"): False, ("report",): False}


@pytest.mark.parametrize("words", ITEMS)
def test_what_downloads_or_draws_stays_with_the_driver(monkeypatch, words):
    stage, *item = words
    for name in ("local", "pod"):
        monkeypatch.setenv("PIPELINE_EXECUTOR", name)
        assert chosen(stage, tuple(item)) == name
    monkeypatch.setenv("PIPELINE_EXECUTOR", "kubernetes")
    assert chosen(stage, tuple(item)) == ("kubernetes" if ITEMS[words] else "local")


def test_an_executor_that_does_not_exist_is_refused_by_name(monkeypatch):
    monkeypatch.setenv("PIPELINE_EXECUTOR", "slurm")
    with pytest.raises(ValueError, match="'slurm', which is none of"):
        chosen("report", ())
