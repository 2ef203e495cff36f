"""The page where a person tries the model, in a real browser: what is typed is asked, and nothing else happens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync")
HTML = {"accept": "text/html"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not CHROMIUM.exists():
        pytest.skip(f"no browser: {CHROMIUM} is missing")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: it drives the browser")
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS))
        yield found
        found.close()


@pytest.fixture
def page(browser: Any, client: httpx.Client) -> Iterator[Any]:
    """The form, with what went wrong in the browser and what it asked for in `wrong` and `asked`."""
    opened = browser.new_page(viewport={"width": 1200, "height": 800})
    opened.wrong, opened.asked = [], []
    opened.on("pageerror", lambda error: opened.wrong.append(str(error)))
    opened.on("console", lambda message: message.type == "error" and opened.wrong.append(message.text))
    opened.on("request", lambda request: opened.asked.append(request.url))
    opened.goto(f"{client.base_url}/")
    opened.locator("#predict:enabled").wait_for()
    yield opened
    opened.close()


def _predicted(page: Any) -> str:
    page.get_by_role("button", name="Predict").click()
    page.locator("#predict:enabled").wait_for()
    return str(page.locator("#prediction").inner_text())


def test_the_example_is_filled_in_and_answered_as_by_predict(page: Any, client: httpx.Client) -> None:
    example = client.get("/openapi.json").json()["components"]["schemas"]["PredictRequest"]["examples"][0]["rows"][0]
    assert page.locator("[name=age]").input_value() == str(example["age"])
    answer = client.post("/predict", json={"rows": [example]}).text
    assert _predicted(page) in answer
    assert (page.wrong, page.locator("#problems li").count()) == ([], 0)
    assert all(url.startswith(str(client.base_url)) or url.startswith("data:") for url in page.asked)


def test_what_is_typed_is_what_is_asked_to_the_last_digit(page: Any) -> None:
    page.locator("[name=age]").fill("9007199254740993")
    page.locator("[name=city]").fill('Köln <b>"x"</b>')
    page.locator("[name=score]").fill("")
    page.locator("[name=member]").select_option("false")
    assert len(_predicted(page)) > 3
    asked = page.locator("#request").text_content()
    assert '"age": 9007199254740993, ' in asked
    assert '"city": "Köln <b>\\"x\\"</b>", "member": false}' in asked
    assert page.wrong == []


def test_a_refusal_marks_its_fields(page: Any) -> None:
    page.locator("[name=age]").fill("old")
    assert "do not fit" in _predicted(page)
    assert page.locator("#problems li").all_inner_texts() == ["age: not an integer"]
    assert page.locator("[aria-invalid=true]").get_attribute("name") == "age"


def test_the_documentation_is_readable_without_the_internet(page: Any, client: httpx.Client) -> None:
    page.goto(f"{client.base_url}/docs")
    page.get_by_role("heading", name="POST /predict").wait_for()
    titles = page.get_by_role("heading", level=2).all_inner_texts()
    assert {"POST /predict", "POST /invocations", "POST /v2/models/customers/infer", "GET /readyz"} <= set(titles)
    assert page.wrong == []
    assert all(url.startswith(str(client.base_url)) or url.startswith("data:") for url in page.asked)


def test_pages_may_run_their_own_script_and_nothing_else(client: httpx.Client) -> None:
    for path in ("/", "/docs"):
        answer = client.get(path, headers=HTML)
        policy = answer.headers["content-security-policy"]
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'")
        assert ("http" in answer.text, "unsafe" in policy) == (False, False)


def test_a_program_that_asks_at_the_root_gets_json(client: httpx.Client) -> None:
    about = client.get("/").json()
    assert (about["name"], about["version"], about["runtime"]) == ("customers", "3", "mlflow")
    assert about["links"]["infer"] == "/v2/models/customers/infer"
