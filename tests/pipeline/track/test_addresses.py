"""Addresses of MLflow stores, sound or not: no password in them is shown."""

import contextlib
import errno
import os
import shutil
import sqlite3
from unittest import mock

import pytest

from pipeline.track.store import Store, TrackerAway, TrackingError, _Explained
from pipeline.track.tracking import store_uri, without_secrets

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")  # of MLflow's own store


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("https://me:s3cr%40t@host:5000", "https://host:5000"),
        ("HTTP://me:s3c#ret@host", "HTTP://host"),
        ("https://me:s3c/ret@host/path", "https://host/path"),
        ("https://host:5000?token=s3cret", "https://host:5000"),
        ("postgresql://me:s3[cret@host/mlflow?sslmode=require", "postgresql://host/mlflow"),
        ("postgresql://me:s3cret@host:5432/runs?password=s3cret", "postgresql://host:5432/runs"),
        ("sqlite:////a@b/c%20d.db?timeout=1", "sqlite:////a@b/c%20d.db?timeout=1"),
        ("", ""),
    ],
)
def test_what_is_shown_of_an_address_has_no_secret(given, shown):
    assert without_secrets(given) == shown


@pytest.mark.parametrize("password", ["s3c#ret", "s3c/ret", "s3c?ret", "s3c@ret", "s3c[ret"])
def test_a_password_that_ends_the_address_is_refused_and_not_shown(password, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"https://me:{password}@host")
    with pytest.raises(ValueError, match="write / as %2F, # as %23") as refused:
        store_uri()
    assert "s3c" not in str(refused.value)


def test_user_and_password_of_a_server_move_to_their_variables(monkeypatch):
    for name in ("USERNAME", "PASSWORD"):
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", "another")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:s3c%23ret@host")
    assert store_uri() == os.environ["MLFLOW_TRACKING_URI"] == "https://host"
    assert [os.environ[f"MLFLOW_TRACKING_{name}"] for name in ("USERNAME", "PASSWORD")] == ["me", "s3c#ret"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://driver@host")
    assert store_uri() == "https://host"
    assert [os.environ[f"MLFLOW_TRACKING_{name}"] for name in ("USERNAME", "PASSWORD")] == ["driver", "s3c#ret"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://host?token=x")
    assert (
        store_uri() == os.environ["MLFLOW_TRACKING_URI"] == "https://host"
        and os.environ["MLFLOW_TRACKING_USERNAME"] == "driver"
    )


def test_errors_of_this_machine_are_not_said_of_the_server():
    here, away = ("This machine fails: ", TrackingError), ("MLflow at http://h does not answer", TrackerAway)
    ends = {OSError(errno.EDQUOT, "full"): here, FileNotFoundError(errno.ENOENT, "no folder"): here}
    for error, (said, kind) in (ends | {ConnectionResetError(errno.ECONNRESET, "reset"): away}).items():
        with pytest.raises(TrackingError, match=said) as raised:
            _Explained(mock.Mock(download=mock.Mock(side_effect=error)), "http://h").download()
        assert raised.type is kind


def test_a_database_of_another_mlflow_is_refused_with_a_remedy_that_helps(empty_store, tmp_path, monkeypatch):
    with contextlib.closing(sqlite3.connect(shutil.copy(empty_store, tmp_path))) as database, database:
        (where,) = database.execute("select artifact_location from experiments where name = 'vsml'").fetchone()
        database.execute("update alembic_version set version_num = 'ffffffffffff'")
    assert where == (empty_store.parent / "mlartifacts").as_uri(), "beside the database, not in the process's folder"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    with pytest.raises(TrackingError, match=r"out-of-date.*If a newer MLflow made that database, no upgrade helps"):
        Store()
