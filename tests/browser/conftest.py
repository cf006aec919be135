"""The finished report, opened in a real browser that makes no request and meets no error."""

import json
import os
from pathlib import Path

import pytest

DRIVER = "/usr/bin/chromedriver"  # Debian's, which fits its Chromium; selenium would else download one


@pytest.fixture(scope="session")
def report() -> Path:
    path = Path(os.environ["REPORT"]).resolve()
    assert path.is_file(), f"REPORT (={path}) must be the page of a finished report: run `make repro` first."
    return path


@pytest.fixture(scope="session")
def start():
    """Start a browser, with scripts or without; at the end all are closed."""
    from selenium import webdriver

    started = []

    def go(scripts: bool = True):
        options = webdriver.ChromeOptions()
        for word in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "window-size=1200,1000"):
            options.add_argument(f"--{word}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        if not scripts:
            options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
        started.append(webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER)))
        return started[-1]

    yield go
    for driver in started:
        driver.quit()


@pytest.fixture(scope="session")
def chromium(start):
    return start()


@pytest.fixture
def visit(report):
    """Open the report anew in a browser; at the end, see that it made no request and met no error."""
    from selenium.webdriver.support.expected_conditions import url_to_be
    from selenium.webdriver.support.wait import WebDriverWait

    opened = []

    def go(driver):
        opened.append(driver)
        driver.implicitly_wait(20)  # `get` has been seen to return before the parts of the page were there
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
        driver.get("about:blank")
        for kind in ("performance", "browser"):
            driver.get_log(kind)
        driver.get(report.as_uri())
        WebDriverWait(driver, 20).until(url_to_be(report.as_uri()))
        return driver

    yield go
    for driver in opened:
        events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
        sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
        asked = {params["request"]["url"] for params in sent if not params["request"]["url"].startswith("data:")}
        assert asked == {report.as_uri()}
        assert [entry["message"] for entry in driver.get_log("browser")] == []


@pytest.fixture
def page(chromium, visit):
    return visit(chromium)
