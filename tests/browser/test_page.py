"""The finished report in a real browser. Deselected by default: `REPORT=…/report/index.html pytest -m browser`.

Needs Chromium with its driver (Debian: chromium, chromium-driver) and the artifacts that the report was made of, which
are the oracle of what the page must say.
"""

import numpy as np
import pytest

from pipeline.run.artifacts import read_table

pytestmark = pytest.mark.browser


@pytest.fixture(scope="session")
def table(report):
    found = sorted((report.parents[1] / "introspect").glob("vsml-*.npz"), key=lambda path: int(path.stem.split("-")[1]))
    return read_table(found[0]).arrays


class Panel:
    """The part of the page in which a reader moves through an episode."""

    def __init__(self, driver):
        self.driver = driver
        self.box, self.slider = self.part("scrub"), self.part("scrub-time")

    def part(self, name):
        return self.driver.find_element("id", name)

    def choose(self, name, index):
        from selenium.webdriver.support.select import Select

        Select(self.part(f"scrub-{name}")).select_by_index(index)

    def options(self, name):
        return [option.text for option in self.part(f"scrub-{name}").find_elements("tag name", "option")]

    def press(self, element, *keys):
        from selenium.webdriver.common.keys import Keys

        for key in keys:
            element.send_keys(getattr(Keys, key))

    @property
    def example(self):
        return int(self.part("scrub-number").text.split(" of ")[0])

    @property
    def status(self):
        return self.part("scrub-status").text

    @property
    def picture(self):
        return self.driver.execute_script("return arguments[0].toDataURL()", self.part("scrub-image"))

    @property
    def classes(self):
        """[class][percent, note]: what the table of classes says."""
        read = "return [...arguments[0].rows].map((row) => [...row.cells].map((cell) => cell.innerText.trim()))"
        cells = self.driver.execute_script(read, self.part("scrub-classes"))
        assert [cell[0] for cell in cells] == [str(i) for i in range(len(cells))]
        return [(int(percent), note) for _, _, percent, note in cells]


def _must_say(panel, table, prefix, learner, lifetime, time):
    """The page says of an example what the table says."""
    probability, truth = (
        table[f"{prefix}probability"][learner, lifetime, time],
        int(table[f"{prefix}label"][lifetime, time]),
    )
    found = panel.classes
    np.testing.assert_allclose([percent for percent, _ in found], 100 * probability, atol=0.71)  # bytes, then percent
    assert ["right" in note for _, note in found] == [i == truth for i in range(len(found))]
    said = next(i for i, (_, note) in enumerate(found) if "predicted" in note)
    assert probability[said] > probability.max() - 1 / 255
    assert f"Class {truth}, " in panel.status
    assert f"predicts {said}, which is {'right' if said == truth else 'wrong'}" in panel.status


def test_a_reader_scrubs_through_episodes_by_slider_and_keys(browse, table):
    panel = Panel(browse())
    assert panel.box.is_displayed()
    length = table["label"].shape[1]
    _must_say(panel, table, "", 0, 0, 0)
    assert "first image of its class" in panel.status
    first = panel.picture
    panel.press(panel.slider, "ARROW_RIGHT")
    assert panel.example == 2
    assert "second exposure of this image" in panel.status
    assert panel.picture == first
    _must_say(panel, table, "", 0, 0, 1)
    panel.press(panel.slider, "ARROW_RIGHT")
    assert panel.picture != first
    panel.press(panel.slider, "END")
    assert panel.example == length
    _must_say(panel, table, "", 0, 0, length - 1)

    panel.press(panel.box, "ARROW_LEFT", "ARROW_LEFT")
    assert panel.example == length - 2
    _must_say(panel, table, "", 0, 0, length - 3)
    panel.press(panel.box, "END", "ARROW_RIGHT")
    assert panel.example == length, "it ends there"
    panel.press(panel.box, "HOME", "ARROW_LEFT")
    assert panel.example == 1

    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(panel.driver).move_to_element(panel.slider).click().perform()
    assert abs(panel.example - length / 2) <= 2
    _must_say(panel, table, "", 0, 0, panel.example - 1)


def test_each_life_learner_and_reading_can_be_chosen(browse, table):
    panel = Panel(browse())
    assert len(panel.options("learner")) == len(table["learner"])
    panel.press(panel.slider, *["ARROW_RIGHT"] * 5)
    for r, prefix in enumerate(("", "next_")):
        panel.choose("reading", r)
        assert len(panel.options("episode")) == len(table[f"{prefix}pixels"])
        for lifetime in range(len(table[f"{prefix}pixels"])):
            panel.choose("episode", lifetime)
            for learner, name in enumerate(panel.options("learner")):
                panel.choose("learner", learner)
                assert panel.example == 6
                assert name in panel.status
                _must_say(panel, table, prefix, learner, lifetime, 5)
    assert "new image of a class seen before" in panel.status  # of the other reading


def test_the_strip_shows_where_the_learner_was_right(browse, table):
    panel = Panel(browse())
    read = "return [...arguments[0].children].map((mark) => mark.className.split(' '))"
    marks = panel.driver.execute_script(read, panel.part("scrub-course"))
    hits = ["hit" in mark for mark in marks]
    right = table["probability"][0, 0].argmax(-1) == table["label"][0]
    close = np.sort(table["probability"][0, 0], axis=-1)
    clear = close[:, -1] - close[:, -2] > 1 / 255  # bytes do not tell others apart
    assert np.array(hits)[clear].tolist() == right[clear].tolist()
    assert [i for i, mark in enumerate(marks) if "now" in mark] == [0]


def test_everything_has_a_name_and_fits_a_telephone(browse):
    driver = browse()
    panel = Panel(driver)
    for name in ("reading", "episode", "learner", "time"):
        assert panel.part(f"scrub-{name}").accessible_name, name
    assert panel.part("scrub-image").accessible_name.startswith("Example 1, an image of class")
    assert panel.box.accessible_name == "One episode, example by example"
    metrics = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    assert driver.execute_script("return innerWidth") == 390
    assert driver.execute_script("return document.documentElement.scrollWidth") <= 390
    edge = "return arguments[0].getBoundingClientRect().right"
    for _ in range(10):  # notes of several lengths
        panel.press(panel.slider, "ARROW_RIGHT")
        inside = driver.execute_script(edge, panel.part("scrub-classes"))
        assert inside <= driver.execute_script(edge, panel.box) <= 390


def test_without_scripts_the_figures_are_there_and_the_panel_is_not(browse):
    driver = browse(scripts=False)
    assert not driver.find_element("id", "scrub").is_displayed()
    assert driver.find_element("css selector", "noscript p").is_displayed()
    assert driver.find_element("css selector", "#figure-introspection img").is_displayed()
