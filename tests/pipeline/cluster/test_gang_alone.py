"""What a process of a gang knows without the others; with them it is tests/pipeline/cluster/test_gang.py."""

import time

import pytest

from pipeline.cluster import gang
from pipeline.track import tracking


def test_a_process_is_alone_unless_told_otherwise_and_numbered_by_kubernetes(monkeypatch):
    assert gang.member() == gang.Member(0, 1, "") and gang.member().alone and gang.member().leads
    monkeypatch.setenv(gang.PROCESSES, "3")
    monkeypatch.setenv(gang.COORDINATOR, "job-0.vsml-gang:8476")
    monkeypatch.setenv(gang.NUMBER, "2")
    last = gang.member()
    assert last == gang.Member(2, 3, "job-0.vsml-gang:8476") and not last.alone and not last.leads


@pytest.mark.parametrize(("number", "address"), [("3", "a:1"), ("", "a:1"), ("-1", "a:1"), ("0", "")])
def test_a_number_that_no_process_has_is_refused(monkeypatch, number, address):
    monkeypatch.setenv(gang.PROCESSES, "3")
    monkeypatch.setenv(gang.COORDINATOR, address)
    monkeypatch.setenv(gang.NUMBER, number)
    with pytest.raises(ValueError, match=r"expected a number from 0 to 2 and an address.*Indexed"):
        gang.member()


def test_the_watchdog_waits_for_others_longer_than_for_a_step_and_rows_are_progress(monkeypatch, tmp_path):
    monkeypatch.setenv(gang.STALLED_AFTER, "0.3")
    watchdog = gang.Watchdog(tmp_path)
    time.sleep(0.4)
    assert not watchdog.stalled(), "it waits for the others"
    (tmp_path / tracking.BEGIN).touch()
    assert not watchdog.stalled(), "it has just joined them"
    time.sleep(0.2)
    (tmp_path / tracking.CURVE).write_text("{}\n")
    assert not watchdog.stalled()
    time.sleep(0.2)
    assert not watchdog.stalled(), "the row was progress"
    time.sleep(0.2)
    assert "No meta-step was finished in 0 s" in watchdog.stalled()

    monkeypatch.setattr(gang, "JOINED_WITHIN_S", 0.1)
    alone = gang.Watchdog(tmp_path / "nothing")
    time.sleep(0.5)
    assert alone.stalled(), "the others never came"
