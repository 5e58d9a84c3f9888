"""The page of `fewgan report` in Chromium: what a person does with it, and what it must never do."""

import json
import os
import shutil
import threading

import pytest
from report_runs import lines, picture, write, write_evil

from fewgan.commands.report import page
from fewgan.commands.report.serve import Server

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: install one, such as Debian's chromium")


@pytest.fixture(scope="module")
def chromium():
    with playwright.sync_playwright() as driver:
        sandbox = [] if os.name == "nt" or os.geteuid() else ["--no-sandbox"]  # root has none
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=sandbox)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Pages by name: of one run, of two, of a run that tries to run script."""
    place = tmp_path_factory.mktemp("pages")
    first, second = (
        write(place / "00001-first"),
        write(place / "00002-second", metrics=list(lines(300)), steps=(0, 300)),
    )
    pages = {"one": [first], "two": [first, second], "evil": [write_evil(place / "00003-evil"), first]}
    for name, folders in pages.items():
        (place / f"{name}.html").write_text(page.make(folders), encoding="utf-8")
    return {name: f"file://{place / name}.html" for name in pages}


@pytest.fixture
def look(chromium):
    """look(address, width=, scheme=) -> page. Afterwards: no errors in the console, nothing asked of the network."""
    contexts, told, asked = [], [], []

    def opened(address, width=1200, scheme="light"):
        context = chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        contexts.append(context)
        shown = context.new_page()
        shown.on("console", lambda message: told.append(message.text))
        shown.on("pageerror", lambda error: told.append(str(error)))
        shown.on("dialog", lambda dialog: told.append(dialog.message))
        shown.on("request", lambda request: asked.append(request.url))
        shown.goto(address)
        return shown

    yield opened
    for context in contexts:
        context.close()
    assert told == []
    assert not [url for url in asked if not url.startswith(("file://", "data:", "about:", "http://127.0.0.1:"))]


def chart(shown, title):
    card = shown.locator(".chart-card", has=shown.get_by_role("heading", name=title, exact=True)).first
    return card, card.locator(".chart > svg")


def labels(svg):
    return [float(text.replace(",", "")) for text in svg.locator("text[text-anchor=middle]").all_text_contents()]


def test_slider_play_and_keys(look, files):
    shown = look(files["one"])
    slider, image = shown.get_by_role("slider", name="Step of the samples"), shown.locator("#sample-0")
    last = image.get_attribute("src")
    assert shown.locator("#step").text_content() == "step 400"
    assert image.evaluate("one => one.complete && one.naturalWidth") == 132
    slider.focus()
    shown.keyboard.press("ArrowLeft")
    assert shown.locator("#step").text_content() == slider.get_attribute("aria-valuetext") == "step 200"
    assert image.get_attribute("alt") == "Grid of generated pictures at step 200"
    assert image.get_attribute("src") != last
    shown.keyboard.press("Home")
    assert shown.locator("#step").text_content() == "step 0"
    slider.fill("2")
    assert image.get_attribute("src") == last
    shown.keyboard.press("Shift+Tab")
    shown.keyboard.press("Enter")  # play, from the start because it is at the end
    button = shown.locator("#play")
    assert (button.text_content(), shown.locator("#step").text_content()) == ("Pause", "step 0")
    playwright.expect(shown.locator("#step")).to_have_text("step 400", timeout=5000)
    playwright.expect(button).to_have_text("Play")


def test_hover_zoom_and_the_keyboard(look, files):
    shown = look(files["one"])
    card, svg = chart(shown, "Losses")
    svg.hover(position={"x": 170, "y": 90})
    tip = card.locator(".tip")
    read = tip.inner_text().split("\n")
    step = int(read[0].removeprefix("step "))
    line = next(line for line in lines() if line["step"] == step)
    assert [round(float(text.partition(": ")[2]), 3) for text in read[1:]] == [
        pytest.approx(line["loss_d"], abs=2e-3), pytest.approx(line["loss_g"], abs=2e-3)
    ]  # fmt: skip
    whole = labels(svg)
    box = svg.bounding_box()
    shown.mouse.move(box["x"] + 120, box["y"] + 80)
    shown.mouse.down()
    shown.mouse.move(box["x"] + 200, box["y"] + 80, steps=4)
    shown.mouse.up()
    assert max(labels(svg)) - min(labels(svg)) < (max(whole) - min(whole)) / 2
    assert labels(chart(shown, "Logit gap")[1]) == labels(svg)  # charts over the steps are zoomed together
    shown.get_by_role("button", name="Show all: curves").click()
    assert labels(svg) == whole
    card.locator(".chart").focus()
    for key, text in (("End", "step 400"), ("ArrowLeft", "step 390"), ("Home", "step 10"), ("ArrowRight", "step 20")):
        shown.keyboard.press(key)
        assert tip.locator("b").text_content() == text
    shown.keyboard.press("+")
    assert labels(svg) != whole
    shown.keyboard.press("Escape")
    assert labels(svg) == whole
    before = svg.locator("path.curve").count()
    card.get_by_role("button", name="G", exact=True).click()
    assert svg.locator("path.curve").count() == before - 1
    assert card.get_by_role("button", name="G", exact=True).get_attribute("aria-pressed") == "false"
    shown.get_by_label("Smooth").check()
    assert svg.locator("path.raw").count() == 1
    svg.click(position={"x": 55, "y": 100})  # goes to the samples of that step
    assert shown.locator("#step").text_content() == "step 0"


def test_two_runs_share_charts_and_slider(look, files):
    shown = look(files["two"])
    card, svg = chart(shown, "Losses")
    assert svg.locator("path.curve").count() == 4
    assert svg.locator("path.curve.dash").count() == 2
    svg.hover(position={"x": 100, "y": 90})
    assert card.locator(".tip").inner_text().count("(second run)") == 2
    shown.get_by_role("slider").fill("1")
    assert shown.locator("#caption-0").text_content() == "step 200"
    assert shown.locator("#caption-1").text_content() == "step 300"
    assert "(second run)" in svg.get_attribute("aria-label")


@pytest.mark.parametrize(("name", "width", "scheme"), [("two", 1200, "light"), ("one", 375, "dark")])
def test_accessible_in_both_themes_and_on_a_phone(look, files, name, width, scheme):
    shown = look(files[name], width, scheme)
    shown.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    assert shown.locator("#more-charts svg[role=img]").first.bounding_box()["width"] > 200
    bright = shown.evaluate("getComputedStyle(document.body).backgroundColor").removeprefix("rgb(").split(",")[0]
    assert (int(bright) > 200) == (scheme == "light")
    found = axe.Axe().run(shown).response["violations"]
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    assert [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in serious] == []


def test_a_strangers_run_runs_nothing(look, files):
    shown = look(files["evil"], 375)
    shown.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert shown.evaluate("document.documentElement.scrollWidth") <= 375
    for svg in shown.locator("#charts .chart > svg").all():
        svg.hover(position={"x": 120, "y": 60})
    shown.get_by_role("slider").press("Home")
    assert shown.evaluate("[window.pwned, {}.polluted, document.scripts.length]") == [None, None, 2]
    assert shown.locator("img:not([alt])").count() == shown.locator("[onload], [onerror], iframe, object").count() == 0
    titles = shown.locator(".chart-card h3").all_text_contents()
    assert any("</script><script>" in title for title in titles)


def test_a_served_page_renews_itself(look, tmp_path, monkeypatch):
    monkeypatch.setattr(page, "EVERY", 100)
    run = write(tmp_path / "00001-training", metrics=list(lines(200)), steps=(0, 200))
    with Server([run], 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            shown = look(server.address)
            assert shown.locator("#step").text_content() == "step 200"
            shown.get_by_label("Smooth").check()
            picture(run / "samples" / "000300.png", 9)
            (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines(300)))
            playwright.expect(shown.locator("#step")).to_have_text("step 300", timeout=10_000)
            playwright.expect(shown.get_by_text("300 of 400", exact=True)).to_be_visible()
            playwright.expect(shown.locator("section", has_text="samples-alike").last).to_be_visible()
            assert shown.get_by_label("Smooth").is_checked()
            assert "Updated at" in shown.locator("#live").text_content()
            shown.goto("about:blank")  # or it would ask a server that has stopped
        finally:
            server.shutdown()
            thread.join()
