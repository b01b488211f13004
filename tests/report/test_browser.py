"""The page in a real browser, opened from the file system: small ones whole, and one of 10,000 photographs.

Needs Chromium (`apt-get install chromium`) and playwright.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.report.synthetic import SIZE, image_name, inputs_of, ring_model, ring_pairs
from xfeat_cli.pairing.positions import to_metres
from xfeat_cli.report.content import build_content
from xfeat_cli.report.inputs import Inputs
from xfeat_cli.report.page import KEYPOINTS_IN_A_FILE, PageFolder, PictureFiles, level_turn

sync_api = pytest.importorskip("playwright.sync_api", reason="the page is tested with playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("Chromium is not installed (apt-get install chromium)", allow_module_level=True)

FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-accelerated-2d-canvas"]
EVIL = "<script>document.title='owned'</script><img src=x onerror=document.title='owned'>.jpg"
MANY = 10_000


def _write(folder: Path, inputs: Inputs) -> str:
    """A page of synthetic inputs; returns its address."""
    page = PageFolder(folder)
    rng = np.random.default_rng(0)
    for number in range(4):
        pixels = cv2.resize(rng.integers(0, 255, (12, 18, 3), dtype=np.uint8), (120, 80))
        cv2.imwrite(str(folder / "photos" / f"{number}.jpg"), pixels)
    content = build_content(inputs)
    rows = {photo.name: row for row, photo in enumerate(inputs.photos)}
    for number, model in enumerate(inputs.models):
        page.put_model(number, model, rows, level_turn(model, None), 500_000)
    points = rng.uniform((0, 0), SIZE, (30, 2)).astype(np.float32)
    for row in range(0, len(inputs.photos), KEYPOINTS_IN_A_FILE):
        page.put_keypoints(row, SIZE, points, points[:5])
    drawn = range(min(len(inputs.pairs.images), 100))
    for pair in drawn:
        page.put_matches(pair, (points, points), (SIZE, SIZE), np.arange(30) < 20)
    page.mark_drawn(drawn)
    cv2.imwrite(str(folder / "model.png"), np.full((40, 120, 3), 255, np.uint8))
    shutil.copy(folder / "model.png", folder / "model-dark.png")
    files = [PictureFiles(f"{row % 4}.jpg", f"{row % 4}.jpg") for row in range(len(inputs.photos))]
    page.finish(content, inputs, files, 500_000)
    return (folder / "index.html").as_uri()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Twelve photographs: two models, one missing with an evil name; GPS."""
    models = [ring_model(7, 300, 100), ring_model(4, 100, 60, first=7)]
    pairs = [*ring_pairs(7), *[(a + 7, b + 7, c, d) for a, b, c, d in ring_pairs(4)], (6, 7, 40, 5)]
    inputs = inputs_of(12, models, pairs)
    inputs.photos[11].name = EVIL
    inputs.problems = [EVIL]
    for number, image in enumerate(models[0].images):
        inputs.photos[number].position = to_metres(48 + image.centre[1] / 11_100, 2 + image.centre[0] / 7_450, 100)
    return _write(tmp_path_factory.mktemp("small"), inputs)


@pytest.fixture(scope="module")
def playwright() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def browser(playwright: Any) -> Iterator[Any]:
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
    yield browser
    browser.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page at 1280 × 900 that fails the test on any error it logs, and on any request that leaves the folder."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    complaints: list[str] = []

    def on_console(message: Any) -> None:
        if message.type in ("error", "warning"):
            complaints.append(message.text)

    def on_request(request: Any) -> None:
        if not request.url.startswith(("file:", "data:")):
            complaints.append(request.url)

    page.on("console", on_console)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", on_request)
    yield page
    context.close()
    assert [text for text in complaints if "GPU stall" not in text] == []


def test_verdict_and_every_tab(page: Any, small: str) -> None:
    page.goto(small)
    assert page.title() != "owned"
    assert page.inner_text("h1") == "A weak reconstruction"
    assert page.locator(".figure").count() == 3
    for name in ("photographs", "pairs", "model", "quality", "map", "run"):
        page.click(f"#tab-{name}")
        page.wait_for_selector(f"#panel-{name}[data-ready=yes]:not([hidden])")
        assert page.locator(f"#panel-{name} > *").count() > 0
        assert page.locator("[role=tabpanel]:visible").count() == 1
        assert "cannot be shown" not in page.inner_text(f"#panel-{name}")
    assert page.title() != "owned"


def test_missing_photographs_come_first_and_open(page: Any, small: str) -> None:
    page.goto(small + "#photographs")
    first = page.locator(".card").first
    assert EVIL in first.inner_text()
    assert "missing" in first.inner_text()
    first.click()
    assert page.inner_text("dialog h2") == EVIL
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector(f"dialog h2:text-is('{image_name(10)}')")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="hidden")
    page.fill("#panel-photographs input[type=search]", "00003")
    assert page.locator(".card").count() == 1
    assert page.title() != "owned"


def test_a_click_on_the_matrix_shows_the_pair(page: Any, small: str) -> None:
    page.goto(small + "#pairs")
    canvas = page.wait_for_selector("#panel-pairs canvas[role=img]")
    box = canvas.bounding_box()
    cell = box["width"] / 12
    canvas.click(position={"x": 2.5 * cell, "y": 3.5 * cell})
    page.wait_for_selector("dialog[open] .pair canvas")
    assert page.inner_text("dialog h2") == f"{image_name(2)} and {image_name(3)}"
    assert "200 verified" in page.inner_text("dialog .legend")
    painted = "(c) => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((value) => value > 0)"
    lines = page.locator("dialog .pair canvas")
    assert any(lines.evaluate(painted) or page.wait_for_timeout(100) for _ in range(30))


def test_a_click_on_a_camera_shows_its_photograph(page: Any, small: str) -> None:
    page.goto(small + "#model")
    page.wait_for_selector("#panel-model[data-ready=yes]")
    page.click("#panel-model button:text('above')")
    box = page.locator("#panel-model .stage canvas").bounding_box()
    spots = [(x, y) for y in np.linspace(0.05, 0.95, 30) for x in np.linspace(0.1, 0.9, 30)]
    for x, y in spots:
        page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
        if page.locator("#panel-model .chosen").is_visible():
            break
    assert page.inner_text("#panel-model .chosen b").endswith(".jpg")
    page.click("#panel-model .chosen button:text('Open')")
    page.wait_for_selector("dialog[open] .photo img")


def test_keyboard_only(page: Any, small: str) -> None:
    page.goto(small)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "tab-summary"
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.id") == "tab-photographs"
    page.wait_for_selector(".card")
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.classList.contains('card')"):
            break
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open]")
    page.keyboard.press("Escape")
    page.focus("#tab-photographs")
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.id") == "tab-run"
    page.focus("#tab-run")
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    page.wait_for_selector("#panel-model[data-ready=yes]")
    page.focus("#panel-model .stage canvas")
    page.keyboard.press("ArrowRight")
    assert page.locator("#panel-model .chosen").is_visible()
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open] .photo")


def test_a_phone_needs_no_sideways_scrolling(browser: Any, small: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    page = context.new_page()
    for name in ("summary", "photographs", "pairs", "quality", "map", "run"):
        page.goto(f"{small}#{name}")
        page.reload()
        page.wait_for_selector(f"#panel-{name}:not([hidden])")
        page.wait_for_timeout(200)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
    context.close()


def test_dark_and_print(browser: Any, small: str) -> None:
    context = browser.new_context(color_scheme="dark")
    page = context.new_page()
    page.goto(small)
    background = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(background) == "rgb(19, 18, 21)"
    page.click("#theme")
    assert page.evaluate(background) == "rgb(250, 249, 247)"
    page.evaluate("window.print = () => {}")
    page.click("#print")
    page.wait_for_selector("#panel-run[data-ready=yes]", state="attached")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.locator("#panel-quality svg").first.is_visible()
    assert not page.locator(".tabs").is_visible()
    assert page.evaluate(background) == "rgb(255, 255, 255)"
    context.close()


def test_without_a_model_and_without_photographs(page: Any, tmp_path: Path) -> None:
    for count in (0, 3):
        page.goto(_write(tmp_path / str(count), inputs_of(count, [], [])))
        assert page.inner_text("h1") in ("Nothing was reconstructed", "Not reconstructed yet")
        for name in ("photographs", "pairs", "model", "quality", "run"):
            page.click(f"#tab-{name}")
            page.wait_for_selector(f"#panel-{name}[data-ready=yes]")
            assert "cannot be shown" not in page.inner_text(f"#panel-{name}")


@pytest.mark.slow
def test_ten_thousand_photographs(playwright: Any, tmp_path: Path) -> None:
    inputs = inputs_of(MANY, [ring_model(MANY - 100, 100_000, 60)], ring_pairs(MANY, apart=10))
    address = _write(tmp_path / "many", inputs)
    profile = tmp_path / "profile"
    context = playwright.chromium.launch_persistent_context(profile, executable_path=CHROMIUM, args=FLAGS)
    page = context.new_page()
    paint = min(_first_paint_ms(page, address) for _ in range(3))
    assert paint < 3000
    page.click("#tab-photographs")
    page.wait_for_selector(".card")
    assert page.locator(".card").count() < 500
    assert f"{MANY:,} of {MANY:,} photographs" in page.inner_text("#panel-photographs .count")
    for name in ("pairs", "model", "quality", "run"):
        page.click(f"#tab-{name}")
        page.wait_for_selector(f"#panel-{name}[data-ready=yes]", timeout=60_000)
        assert "cannot be shown" not in page.inner_text(f"#panel-{name}")
    page.wait_for_timeout(500)
    megabytes = _renderer_megabytes(profile)
    context.close()
    print(f"first paint {paint:.0f} ms, {megabytes:.0f} MB")
    assert megabytes < 500


def _first_paint_ms(page: Any, address: str) -> float:
    page.goto("about:blank")
    page.goto(address)
    first = "new PerformanceObserver((list) => done(list.getEntries()[0].startTime))"
    return float(page.evaluate(f"new Promise((done) => {first}.observe({{type: 'paint', buffered: true}}))"))


def _renderer_megabytes(profile: Path) -> float:
    """Memory, shared parts by share, of the largest process that draws pages of the browser with that profile."""
    sizes = [0.0]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().decode("utf-8", "replace")
            if "--type=renderer" in command and _belongs(process, profile):
                rollup = (process / "smaps_rollup").read_text()
                sizes.append(int(rollup.split("Pss:")[1].split()[0]) / 1024)
        except (OSError, IndexError):
            continue
    assert max(sizes) > 0
    return max(sizes)


def _belongs(process: Path, profile: Path) -> bool:
    """Whether a process descends from the browser with that profile."""
    while process.name not in ("0", "1"):
        if f"--user-data-dir={profile}" in (process / "cmdline").read_bytes().decode("utf-8", "replace"):
            return True
        status = (process / "status").read_text()
        process = process.parent / status.split("PPid:")[1].split()[0]
    return False
