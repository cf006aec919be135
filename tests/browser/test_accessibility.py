"""Whether everybody can read the finished report: checks that a screen reader, a keyboard and tired eyes would make.

Run as tests/browser/test_page.py says. What is asked follows WCAG 2.2: 1.1.1, 1.3.1, 1.4.3, 1.4.10, 2.1.1, 2.4.1 to
2.4.7, 3.1.1.
"""

from itertools import pairwise

import pytest

pytestmark = pytest.mark.browser

# Every element with words of its own, its colour and what lies behind it; transparent layers are mixed.
CONTRASTS = """
const rgba = (text) => { const n = text.match(/[\\d.]+/g).map(Number); return n.length < 4 ? [...n, 1] : n; };
const over = ([r, g, b, a], below) => [r, g, b].map((v, i) => a * v + (1 - a) * below[i]);
const luminance = (rgb) => {
  const [r, g, b] = rgb.map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (element) => {
  const layers = [];
  for (let e = element; e; e = e.parentElement) layers.unshift(rgba(getComputedStyle(e).backgroundColor));
  return layers.reduce((below, layer) => over(layer, below), [255, 255, 255]);
};
return [...document.querySelectorAll("body *")].filter((e) =>
  [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) && e.checkVisibility() &&
  !["SCRIPT", "STYLE", "NOSCRIPT", "OPTION"].includes(e.tagName)
).map((e) => {
  const style = getComputedStyle(e), ground = behind(e);
  const [light, dark] = [luminance(over(rgba(style.color), ground)), luminance(ground)].sort((a, b) => b - a);
  const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
  const words = `${e.tagName} ${e.className}: ${e.textContent.trim().slice(0, 40)}`;
  return [(light + 0.05) / (dark + 0.05), large ? 3 : 4.5, words];
});
"""
# What Tab should stop at, in the order of reading.
STOPS = """
return [...document.querySelectorAll("*")].filter((e) =>
  e.matches('a, summary, select, input, [tabindex="0"]') && e.checkVisibility()
).map((e) => e.outerHTML.slice(0, 90));
"""
FOLLOW = """
window.focused = [];
document.addEventListener("focusin", ({target}) => {
  const style = getComputedStyle(target);
  focused.push([target.outerHTML.slice(0, 90), style.outlineStyle, parseFloat(style.outlineWidth)]);
});
"""
OPEN = "document.querySelectorAll('details').forEach((one) => { one.open = true; })"


@pytest.fixture
def driver(page):
    """The report with all its details open."""
    page.execute_script(OPEN)
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_words_stand_out_from_what_is_behind_them(driver, scheme):
    feature = {"name": "prefers-color-scheme", "value": scheme}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    assert driver.execute_script(f"return matchMedia('(prefers-color-scheme: {scheme})').matches")
    found = driver.execute_script(CONTRASTS)
    assert len(found) > 300
    assert [(round(ratio, 2), words) for ratio, least, words in found if ratio < least] == []


def test_the_page_has_a_language_a_title_and_landmarks(driver):
    assert driver.execute_script("return document.documentElement.lang") == "en"
    assert len(driver.title) > 20
    for landmark, number in (("header", 1), ("main", 1), ("nav", 1), ("h1", 1)):
        assert len(driver.find_elements("css selector", f"body {landmark}")) == number
    for region in driver.find_elements("css selector", "nav, section, article, [role=region], [role=group]"):
        assert region.accessible_name, region.get_attribute("outerHTML")[:200]


def test_headings_go_down_one_level_at_a_time(driver):
    read = "return [...document.querySelectorAll('h1,h2,h3,h4,h5,h6')].map((h) => [Number(h.tagName[1]), h.innerText])"
    levels = driver.execute_script(read)
    assert levels[0][0] == 1 and len(levels) > 15
    for (before, _), (level, words) in pairwise(levels):
        assert level <= before + 1, words
    assert all(words.strip() for _, words in levels)


def test_images_controls_tables_and_links_say_what_they_are(driver):
    images = driver.find_elements("css selector", "img")
    assert images and all(len(image.get_attribute("alt")) > 60 for image in images)
    controls = driver.find_elements("css selector", "select, input, button, canvas, summary")
    assert controls and all(control.accessible_name for control in controls if control.is_displayed())
    for wrong in (  # a table without a caption, a head without a scope, an id that occurs twice
        "[...document.querySelectorAll('table')].filter((t) => !t.caption || !t.caption.innerText.trim())",
        "[...document.querySelectorAll('th')].filter((h) => !h.scope || !h.innerText.trim())",
        "[...document.querySelectorAll('[id]')].filter((e) => e !== document.getElementById(e.id))",
    ):
        assert driver.execute_script(f"return {wrong}.map((e) => e.outerHTML.slice(0, 90))") == []
    names = {}
    for link in driver.find_elements("css selector", "a"):  # one name leads to one place
        name, place = link.accessible_name, link.get_attribute("href")
        assert name and names.setdefault(name, place) == place


def test_the_keyboard_reaches_everything_in_the_order_of_reading_and_shows_where_it_is(page):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    wanted = page.execute_script(STOPS)
    page.execute_script(FOLLOW)
    ActionChains(page).send_keys(Keys.TAB * len(wanted)).perform()
    seen = page.execute_script("return focused")
    assert [html for html, *_ in seen] == wanted
    assert "skip" in seen[0][0], "the first stop leads past the contents"
    assert [html for html, style, width in seen if style == "none" or width < 1] == []

    page.refresh()
    ActionChains(page).send_keys(Keys.TAB, Keys.ENTER).perform()
    assert page.execute_script("return location.hash") == "#short"


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_but_wide_tables_and_figures_scrolls_sideways(driver, width):
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    assert driver.execute_script("return innerWidth") == width
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width
    scrolls = """
    const may = (e) => ["auto", "scroll"].includes(getComputedStyle(e).overflowX);
    return [...document.querySelectorAll("body *")].filter((e) => e.scrollWidth > e.clientWidth + 1 && may(e) &&
      e.tabIndex !== 0).map((e) => e.outerHTML.slice(0, 80));
    """
    assert driver.execute_script(scrolls) == [], "what scrolls must be reachable by keys"
    figure = driver.find_element("css selector", "#figures ~ article img")
    assert figure.size["width"] > 0.75 * min(width, 520) * 0.9


def test_a_link_from_a_figure_opens_its_claim(page):
    link = page.find_element("css selector", ".shown a")
    claim = page.find_element("id", link.get_attribute("href").partition("#")[2])
    assert claim.get_attribute("open") is None
    link.click()
    assert claim.get_attribute("open") is not None
    assert claim.find_element("css selector", "table caption").is_displayed()


def test_on_paper_there_are_figures_and_no_controls(driver):
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert not driver.find_element("css selector", "nav").is_displayed()
    assert not driver.find_element("id", "scrub").is_displayed()
    assert driver.find_element("css selector", "article img").is_displayed()
