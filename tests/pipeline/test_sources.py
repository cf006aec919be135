import json

import numpy as np
import pytest
from sklearn import datasets

from pipeline import paths, sources


def test_meta_training_shares_no_image_with_the_test():
    split = sources.read("digits")
    assert (len(split.y_train), len(split.y_test)) == (1197, 600)
    seen = {row.tobytes() for row in split.x_train}
    assert not any(row.tobytes() in seen for row in split.x_test)


def test_the_split_keeps_the_share_of_every_class_and_all_examples():
    split = sources.read("digits")
    share = np.bincount(split.y_train) / 1197 - np.bincount(split.y_test) / 600
    assert np.abs(share).max() < 0.003
    every = np.concatenate([split.x_train, split.x_test])
    np.testing.assert_array_equal(np.unique(every, axis=0), np.unique(datasets.load_digits(return_X_y=True)[0], axis=0))


def test_the_split_is_always_the_same():
    np.testing.assert_array_equal(sources.read("digits").x_test, sources.read("digits").x_test)


@pytest.mark.parametrize("name", ["wine", "breast_cancer", "iris"])
def test_the_other_sets_are_for_tests_alone_and_as_published(name):
    split = sources.read(name)
    published = getattr(datasets, f"load_{name}")()
    assert len(split.x_train) == len(split.y_train) == 0
    np.testing.assert_array_equal(split.x_test, published.data.astype(np.float32))
    np.testing.assert_array_equal(split.y_test, published.target)


def test_another_file_than_the_locked_one_is_refused(tmp_path):
    lock = json.loads(paths.DATASETS_LOCK.read_text())
    found, lock["iris"]["sha256"] = lock["iris"]["sha256"], "0" * 64
    (tmp_path / "datasets.lock").write_text(json.dumps(lock))
    complaint = rf"iris\.csv has 2734 bytes with sha256 {found}, but .* expects .* 0{{64}}: reinstall"
    with pytest.raises(ValueError, match=complaint):
        sources._verified("iris", tmp_path / "datasets.lock")
    with pytest.raises(ValueError, match=r"'mnist' is none of the data sets \['breast_cancer', 'digits'"):
        sources.read("mnist")
