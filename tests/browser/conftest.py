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


@pytest.fixture
def browse(report):
    """Open the report in a new browser; at the end, see that it made no request and met no error."""
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.support.expected_conditions import url_to_be
    from selenium.webdriver.support.wait import WebDriverWait

    opened = []

    def open_report(scripts: bool = True):
        options = Options()
        for word in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "window-size=1200,1000"):
            options.add_argument(f"--{word}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        if not scripts:
            options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
        driver = webdriver.Chrome(options=options, service=Service(DRIVER))
        opened.append(driver)
        driver.implicitly_wait(20)  # `get` has been seen to return before the parts of the page were there
        driver.get(report.as_uri())
        WebDriverWait(driver, 20).until(url_to_be(report.as_uri()))
        return driver

    yield open_report
    try:
        for driver in opened:
            events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
            sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
            asked = {params["request"]["url"] for params in sent if not params["request"]["url"].startswith("data:")}
            assert asked == {report.as_uri()}
            assert [entry["message"] for entry in driver.get_log("browser")] == []
    finally:
        for driver in opened:
            driver.quit()
