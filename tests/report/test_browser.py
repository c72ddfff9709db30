"""Reports in a real, headless Chromium: width, colours, accessibility, print, charts."""

import re

import pytest

import neurolp
from tests.report.pages import DENSITY, STREAM, browser, ran
from tests.sweep.quick import fake_sweep

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")


@pytest.fixture(scope="module")
def chromium():
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    out = {}
    for name, configuration in (("density", DENSITY), ("stream", STREAM)):
        out[name] = neurolp.report(
            ran(folder, configuration, f"{name}.h5"), folder / f"{name}.html"
        )
    grid = [{"brain.n_hidden": n} for n in (1, 10, 100)]
    sweep = fake_sweep(folder / "s", grid, {"brain.n_hidden": "grid"}, 3, lambda s: 1.0)
    return out | {"sweep": neurolp.report(sweep, folder / "sweep.html")}


def opened(chromium, page, width=1280, scheme="light"):
    """The page in a browser without a network, and what it complained of or asked for."""
    context = chromium.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True
    )
    tab, said = context.new_page(), []
    tab.on("console", lambda m: said.append(m.text) if m.type in ("error", "warning") else None)
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda r: said.append(r.url) if r.url.startswith("http") else None)
    tab.goto(page.as_uri())
    if tab.locator(".chart").count():
        tab.wait_for_selector(".chart .bk-Figure", state="attached")
    return tab, said


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
@pytest.mark.parametrize("name", ["density", "stream", "sweep"])
def test_a_page_is_accessible_and_fits(chromium, pages, name, width, scheme):
    from axe_playwright_python.sync_playwright import Axe

    tab, said = opened(chromium, pages[name], width, scheme)
    results = Axe().run(tab)
    assert results.violations_count == 0, results.generate_report()
    assert len(results.response["passes"]) > 20
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    # Without what scrolls by itself, nothing sticks out.
    out = "e => !e.closest('.scroll, pre, svg') && e.getBoundingClientRect().right > innerWidth + 1"
    assert not tab.evaluate(f"[...document.querySelectorAll('body *')].filter({out}).length")
    assert said == []
    background = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    light = sum(map(int, re.findall(r"\d+", background)[:3])) > 384
    assert light == (scheme == "light")
    tab.context.close()


def test_curves_are_charts_on_a_screen_and_pictures_in_print(chromium, pages, tmp_path):
    tab, _ = opened(chromium, pages["stream"])
    figure = tab.locator("figure.has-charts").first
    assert figure.locator(".charts").is_visible()
    assert not figure.locator(".picture").is_visible()
    tab.emulate_media(media="print")
    assert not figure.locator(".charts").is_visible()
    assert figure.locator(".picture").is_visible()
    assert not tab.locator("nav").is_visible()
    tab.pdf(path=tmp_path / "page.pdf", format="A4")
    assert (tmp_path / "page.pdf").stat().st_size > 20_000
    tab.context.close()


def test_without_scripts_all_figures_are_pictures(chromium, pages):
    context = chromium.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(pages["stream"].as_uri())
    pictures = tab.locator("figure .picture")
    assert pictures.count() == tab.locator("figure").count() > 3
    assert all(pictures.nth(k).is_visible() for k in range(pictures.count()))
    context.close()


def test_pointing_at_a_curve_tells_its_values_and_buttons_zoom(chromium, pages):
    tab, _ = opened(chromium, pages["density"])
    chart = tab.locator(".chart").first
    chart.scroll_into_view_if_needed()
    box = chart.locator(".bk-Figure").bounding_box()
    for k in range(2, 38):  # down the middle, until a curve is met
        tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] * k / 40)
        if tab.locator(".bk-Tooltip").count():
            break
    tip = tab.locator(".bk-Tooltip").first.evaluate("e => e.shadowRoot.textContent.slice(-200)")
    assert re.search(r"time \(slices\):?\s*\d", tip), tip
    assert re.search(r"\(nats[^)]*\):?\s*-?\d", tip), tip
    ends = "Bokeh.index.roots[0].model.x_range"
    before = tab.evaluate(f"{ends}.end - {ends}.start")
    chart.locator('[title="Zoom In"]').click()
    tab.wait_for_function(f"{ends}.end - {ends}.start < {before}")
    tab.context.close()
