"""Splits from files of the publishers' formats, small ones that are made here, and from those of scikit-learn."""

import gzip
import io
import json
import pickle
import tarfile
import zipfile

import jax
import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from sklearn import datasets

from pipeline.data import download, sources
from pipeline.run import artifacts, paths
from vsml.tasks.datasets import SETS


def _bytes(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def test_meta_training_shares_no_digit_with_the_test():
    (x_train, y_train), (x_test, y_test) = sources.read("digits", "train"), sources.read("digits", "test")
    assert (len(y_train), len(y_test)) == (1197, 600)
    seen = {row.tobytes() for row in x_train}
    assert not any(row.tobytes() in seen for row in x_test)
    share = np.bincount(y_train) / 1197 - np.bincount(y_test) / 600
    assert np.abs(share).max() < 0.003
    every = np.concatenate([x_train, x_test])
    np.testing.assert_array_equal(np.unique(every, axis=0), np.unique(datasets.load_digits(return_X_y=True)[0], axis=0))


@pytest.mark.parametrize("name", ["wine", "breast_cancer", "iris"])
def test_the_other_tables_are_for_tests_alone_and_as_published(name):
    published = getattr(datasets, f"load_{name}")()
    _agrees(sources.read(name, "test"), published.data.astype(np.float32), published.target)
    with pytest.raises(ValueError, match=rf"{name} has no 'train' split, only \['test'\]"):
        sources.read(name, "train")


def test_another_file_than_the_locked_one_is_refused(tmp_path):
    lock = json.loads(paths.DATASETS_LOCK.read_text())
    (file,) = lock["iris"]["files"].values()
    found, file["sha256"] = file["sha256"], "0" * 64
    (tmp_path / "datasets.lock").write_text(json.dumps(lock))
    complaint = rf"iris\.csv has 2734 bytes with sha256 {found}, but .* expects .* 0{{64}}: reinstall"
    with pytest.raises(ValueError, match=complaint):
        sources.read("iris", "test", tmp_path / "datasets.lock")
    with pytest.raises(ValueError, match=r"'minst' is none of the data sets \['breast_cancer', 'cifar10'"):
        sources.read("minst", "test")


def test_the_lock_and_the_facts_name_the_same_sets():
    lock = json.loads(paths.DATASETS_LOCK.read_text())
    assert lock.keys() == SETS.keys()
    for name, entry in lock.items():
        named = [file for kind in ("splits", "instead") for files in entry.get(kind, {}).values() for file in files]
        assert set(named) == entry["files"].keys(), name
        for file, facts in entry["files"].items():
            locked = download.File(name, file, **facts)
            assert len(bytes.fromhex(locked.sha256)) == 32 and all(url.endswith(f"/{file}") for url in locked.urls)


@pytest.fixture
def read(tmp_path, monkeypatch):
    """`sources.read` of a set whose files, by name, are these bytes in the user's folder."""

    def made(name: str, split: str, files: dict[str, bytes]) -> tuple[np.ndarray, np.ndarray]:
        lock = json.loads(paths.DATASETS_LOCK.read_text())
        folder = tmp_path / "mirror" / lock[name].get("folder", name)
        folder.mkdir(parents=True, exist_ok=True)
        for file, content in files.items():
            (folder / file).write_bytes(content)
            lock[name]["files"][file] = {"urls": [], "sha256": artifacts.sha256_file(folder / file)}
        (tmp_path / "datasets.lock").write_text(json.dumps(lock))
        return sources.read(name, split, tmp_path / "datasets.lock")

    monkeypatch.setenv(download.MIRROR, str(tmp_path / "mirror"))
    monkeypatch.setattr(paths, "DOWNLOADS", tmp_path / "downloads")
    return made


def _agrees(found: tuple[np.ndarray, np.ndarray], x: np.ndarray, y: np.ndarray) -> None:
    assert (found[0].dtype, found[1].dtype) == (x.dtype, np.int32)
    np.testing.assert_array_equal(found[0], x.reshape(len(x), -1))
    np.testing.assert_array_equal(found[1], y)


def _idx(array: np.ndarray) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return gzip.compress(bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes())


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "kmnist"])
@pytest.mark.parametrize(("split", "stem"), [("train", "train"), ("test", "t10k")])
def test_idx_files_of_which_those_of_a_split_alone_are_fetched(read, tmp_path, name, split, stem):
    x, y = _bytes(0, 12, 28, 28), _bytes(1, 12) % 10
    files = {f"{stem}-images-idx3-ubyte.gz": _idx(x), f"{stem}-labels-idx1-ubyte.gz": _idx(y)}
    _agrees(read(name, split, files), x, y)
    assert not (tmp_path / "downloads").exists()
    files[f"{stem}-images-idx3-ubyte.gz"] = gzip.compress(bytes([0, 0, 13, 1, 0, 0, 0, 1, 0, 0, 0, 0]))  # of floats
    with pytest.raises(ValueError, match="must begin with 00 00 08, not with 00 00 0d"):
        read(name, split, files)


@pytest.mark.parametrize("split", ["train", "test"])
def test_emnist_is_put_upright(read, split):
    upright, y = _bytes(2, 5, 28, 28), np.array([0, 61, 10, 35, 36], np.uint8)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for kind in ("byclass", "letters"):
            for part in ("train", "test"):
                mine = kind == "byclass" and part == split
                stored = upright.transpose(0, 2, 1) if mine else np.zeros((1, 28, 28), np.uint8)
                archive.writestr(f"gzip/emnist-{kind}-{part}-images-idx3-ubyte.gz", _idx(np.ascontiguousarray(stored)))
                archive.writestr(f"gzip/emnist-{kind}-{part}-labels-idx1-ubyte.gz", _idx(y if mine else y[:1]))
    _agrees(read("emnist", split, {"gzip.zip": packed.getvalue()}), upright, y)


def _batch(x: np.ndarray, y: np.ndarray) -> bytes:
    """A batch of CIFAR-10, named as numpy was when its publishers pickled it."""
    planes = np.ascontiguousarray(x.transpose(0, 3, 1, 2)).reshape(len(x), -1)
    content = pickle.dumps({b"batch_label": b"a batch", b"labels": y.tolist(), b"data": planes}, protocol=3)
    assert b"cnumpy._core.multiarray" in content
    return content.replace(b"cnumpy._core.multiarray", b"cnumpy.core.multiarray")


def test_cifar10(read):
    def packed() -> dict[str, bytes]:
        tar = io.BytesIO()
        with tarfile.open(fileobj=tar, mode="w:gz") as archive:
            for name, content in members.items():
                member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        return {"cifar-10-python.tar.gz": tar.getvalue()}

    x, y = _bytes(3, 12, 32, 32, 3), np.arange(12) % 10
    members = {"readme.html": b"no pickle", "test_batch": _batch(x[10:], y[10:])}
    for n in (4, 1, 3, 2, 5):
        members[f"data_batch_{n}"] = _batch(x[2 * n - 2 : 2 * n], y[2 * n - 2 : 2 * n])
    _agrees(read("cifar10", "train", packed()), x[:10], y[:10])
    _agrees(read("cifar10", "test", packed()), x[10:], y[10:])
    del members["data_batch_3"]
    with pytest.raises(ValueError, match=r"it lacks \['data_batch_3'\]"):
        read("cifar10", "train", packed())
    # a test batch at hand stands in for the whole
    _agrees(read("cifar10", "test", {"test_batch": _batch(x[:3], y[:3])}), x[:3], y[:3])


class Malicious:
    def __init__(self, function, *args) -> None:
        self.call = (function, args)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "content",
    [
        Malicious(eval, "open('owned', 'w')"),
        {b"data": Malicious(io.open, "owned", "w"), b"labels": [1]},
        Malicious(getattr, "numpy", "load"),
        Malicious(np.load, "owned"),
        Malicious(np.memmap, "owned", "uint8", "w+", 0, (1,)),
        datasets.load_iris,
    ],
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_malicious_pickle_is_refused_before_it_runs(read, tmp_path, monkeypatch, content, protocol):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(pickle.UnpicklingError, match="has no place in a file of arrays"):
        read("cifar10", "test", {"test_batch": pickle.dumps(content, protocol)})
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("split", ["train", "test"])
def test_svhn_calls_zero_by_its_name(read, tmp_path, split):
    x, labels = _bytes(5, 6, 32, 32, 3), np.array([[10], [1], [9], [5], [10], [2]], np.uint8)
    packed = io.BytesIO()
    savemat(packed, {"X": x.transpose(1, 2, 3, 0), "y": labels}, do_compression=True)
    _agrees(read("svhn", split, {f"{split}_32x32.mat": packed.getvalue()}), x, np.array([0, 1, 9, 5, 0, 2]))


ALPHABETS = {"Greek": 3, "Tagalog": 2, "Anglo-Saxon_Futhorc": 1}
DRAWINGS = 2


def _drawing(alphabet: int, character: int, drawing: int) -> np.ndarray:
    """White paper with a thick black mark, its place the drawing's own."""
    paper = np.full((105, 105), True)
    paper[10 * character : 10 * character + 30, 20 * alphabet + 9 * drawing : 20 * alphabet + 9 * drawing + 12] = False
    return paper


def _omniglot(stem: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(f"{stem}/", b"")
        archive.writestr(f"{stem}/README.txt", b"drawings")
        for drawing in reversed(range(DRAWINGS)):  # neither archives nor zips are sorted
            for alphabet, (name, characters) in enumerate(ALPHABETS.items()):
                for character in reversed(range(characters)):
                    png = io.BytesIO()
                    Image.fromarray(_drawing(alphabet, character, drawing)).save(png, "png")
                    path = f"{stem}/{name}/character{character + 1:02}/{alphabet}{character}_{drawing + 1:02}.png"
                    archive.writestr(path, png.getvalue())
    return packed.getvalue()


def _expected(names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    order = [(list(ALPHABETS).index(name), c) for name in sorted(names) for c in range(ALPHABETS[name])]
    large = np.stack([_drawing(a, c, drawing) for a, c in order for drawing in range(DRAWINGS)])
    size = (len(large), 28, 28)
    small = jax.image.resize(255 * large.astype(np.float32), size, "linear", antialias=False)
    return np.rint(np.asarray(small)).astype(np.uint8), np.repeat(np.arange(len(order)), DRAWINGS)


@pytest.mark.parametrize(
    ("name", "split", "stem", "first", "alphabets"),
    [
        ("omniglot", "train", "images_background", 0, tuple(ALPHABETS)),
        ("omniglot", "test", "images_evaluation", 964, tuple(ALPHABETS)),
        ("omniglot_small1", "train", "images_background_small1", 0, tuple(ALPHABETS)),
        ("omniglot_small2", "test", "images_background_small2", 0, ("Tagalog", "Anglo-Saxon_Futhorc")),
    ],
)
def test_omniglot_is_sorted_numbered_and_resized(read, name, split, stem, first, alphabets):
    x, y = _expected(alphabets)
    assert {0, 255} < set(x.ravel().tolist()), "paper is 255, ink is 0, and edges are between"
    _agrees(read(name, split, {f"{stem}.zip": _omniglot(stem)}), x, first + y)
