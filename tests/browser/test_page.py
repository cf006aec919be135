"""The finished report in a real browser. Deselected by default: `REPORT=…/report/index.html pytest -m browser`.

Needs Chromium with its driver (Debian: chromium, chromium-driver) and the artifacts that the report was made of, which
are the oracle of what the page must say.
"""

import numpy as np
import pytest

from pipeline.run.artifacts import read_table

pytestmark = pytest.mark.browser

SHOWN = """
const part = (name) => document.getElementById(`scrub-${name}`);
const cells = [...part("classes").rows].map((row) => [...row.cells].map((cell) => cell.innerText.trim()));
const marks = [...part("course").children].map((mark) => mark.className.split(" "));
return [parseInt(part("number").innerText), part("status").innerText, part("image").toDataURL(), cells, marks];
"""


@pytest.fixture(scope="session")
def table(report):
    found = sorted((report.parents[1] / "introspect").glob("vsml-*.npz"), key=lambda path: int(path.stem.split("-")[1]))
    return read_table(found[0]).arrays


class Panel:
    """The part of the page in which a reader moves through an episode; `see` reads what it shows."""

    def __init__(self, driver, table):
        self.driver, self.table = driver, table
        self.box, self.slider = driver.find_element("id", "scrub"), self.part("time")

    def part(self, name):
        return self.driver.find_element("id", f"scrub-{name}")

    def select(self, name):
        from selenium.webdriver.support.select import Select

        return Select(self.part(name))

    def press(self, element, *keys):
        from selenium.webdriver.common.keys import Keys

        for key in keys:
            element.send_keys(getattr(Keys, key))
        return self.see()

    def see(self, prefix="", learner=0, episode=0):
        """Which example is shown, the sentence on it, its image, and the strip; it says what the table says."""
        number, status, picture, cells, marks = self.driver.execute_script(SHOWN)
        probability = self.table[f"{prefix}probability"][learner, episode, number - 1]
        truth = int(self.table[f"{prefix}label"][episode, number - 1])
        assert [cell[0] for cell in cells] == [str(i) for i in range(len(probability))]
        shown = [int(percent) for _, _, percent, _ in cells]
        np.testing.assert_allclose(shown, 100 * probability, atol=0.71)  # bytes, then percent
        assert [i for i, cell in enumerate(cells) if "right" in cell[3]] == [truth]
        said = next(i for i, cell in enumerate(cells) if "predicted" in cell[3])
        assert probability[said] > probability.max() - 1 / 255
        assert f"Class {truth}, " in status
        assert f"predicts {said}, which is {'right' if said == truth else 'wrong'}" in status
        return number, status, picture, marks


@pytest.fixture
def panel(page, table):
    return Panel(page, table)


def test_a_reader_scrubs_through_episodes_by_slider_and_keys(panel, table):
    from selenium.webdriver.common.action_chains import ActionChains

    assert panel.box.is_displayed()
    length = table["label"].shape[1]
    number, status, first, _ = panel.see()
    assert number == 1 and "first image of its class" in status
    number, status, second, _ = panel.press(panel.slider, "ARROW_RIGHT")
    assert number == 2 and second == first and "second exposure of this image" in status
    assert panel.press(panel.slider, "ARROW_RIGHT")[2] != first
    for element, keys, number in (
        (panel.slider, ["END"], length),
        (panel.box, ["ARROW_LEFT", "ARROW_LEFT"], length - 2),
        (panel.box, ["END", "ARROW_RIGHT"], length),  # it ends there
        (panel.box, ["HOME", "ARROW_LEFT"], 1),
    ):
        assert panel.press(element, *keys)[0] == number
    ActionChains(panel.driver).move_to_element(panel.slider).click().perform()
    assert abs(panel.see()[0] - length / 2) <= 2


def test_each_episode_learner_and_reading_can_be_chosen(panel, table):
    readings, episodes, learners = (panel.select(name) for name in ("reading", "episode", "learner"))
    names = [option.text for option in learners.options]
    assert len(names) == len(table["learner"])
    panel.press(panel.slider, *["ARROW_RIGHT"] * 5)
    for reading, prefix in enumerate(("", "next_")):
        readings.select_by_index(reading)
        shown = len(table[f"{prefix}pixels"])
        assert len(episodes.options) == shown
        for episode in range(shown):
            episodes.select_by_index(episode)
            for learner, name in enumerate(names):
                learners.select_by_index(learner)
                number, status, *_ = panel.see(prefix, learner, episode)
                assert number == 6 and name in status
    assert "new image of a class seen before" in status  # of the other reading


def test_the_strip_shows_where_the_learner_was_right(panel, table):
    *_, marks = panel.see()
    hits = np.array(["hit" in mark for mark in marks])
    right = table["probability"][0, 0].argmax(-1) == table["label"][0]
    close = np.sort(table["probability"][0, 0], axis=-1)
    clear = close[:, -1] - close[:, -2] > 1 / 255  # bytes do not tell others apart
    assert hits[clear].tolist() == right[clear].tolist()
    assert [i for i, mark in enumerate(marks) if "now" in mark] == [0]


def test_everything_has_a_name_and_fits_a_telephone(panel):
    driver = panel.driver
    for name in ("reading", "episode", "learner", "time"):
        assert panel.part(name).accessible_name, name
    assert panel.part("image").accessible_name.startswith("Example 1, an image of class")
    assert panel.box.accessible_name == "One episode, example by example"
    metrics = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    assert driver.execute_script("return innerWidth") == 390
    assert driver.execute_script("return document.documentElement.scrollWidth") <= 390
    edge = "return arguments[0].getBoundingClientRect().right"
    for _ in range(10):  # notes of several lengths
        panel.press(panel.slider, "ARROW_RIGHT")
        inside = driver.execute_script(edge, panel.part("classes"))
        assert inside <= driver.execute_script(edge, panel.box) <= 390


def test_without_scripts_the_figures_are_there_and_the_panel_is_not(start, visit):
    driver = visit(start(scripts=False))
    assert not driver.find_element("id", "scrub").is_displayed()
    assert driver.find_element("css selector", "noscript p").is_displayed()
    assert driver.find_element("css selector", "#figure-introspection img").is_displayed()
