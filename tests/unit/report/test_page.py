from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser

import pytest

from cfray.report import GallerySet, render_report

VOID = {"meta", "img", "link", "br", "hr", "input"}


class Page(HTMLParser):
    """The elements of a page, and the text outside of scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def html(result, gallery) -> str:
    return render_report(result, gallery, title="Report on the example")


def test_every_element_is_closed_in_order(html):
    assert Page(html).open == []


def test_nothing_is_loaded_from_anywhere(html):
    page = Page(html)
    for tag, attributes in page.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base", "use", "image")
        for name in ("src", "href", "srcset", "xlink:href", "action", "data", "poster"):
            assert not attributes.get(name) or attributes[name].startswith(("data:image/png;base64,", "#")), (tag, name)
    assert not re.search(r"https?://|url\(|@import|fetch\(|XMLHttpRequest|import\(", html)


def test_policy_of_the_page_forbids_loading_and_every_script_but_its_own(html):
    policy = next(a["content"] for a in Page(html).all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    assert re.search(r"script-src 'sha256-[A-Za-z0-9+/]{43}='$", policy)


def test_strings_of_the_run_are_text_and_never_markup(result, png):
    attack = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    result["models"]["clip"] = {"id": attack, "revision": attack}
    result["sets"]["rejected"][attack] = 3
    result["seconds"][attack] = 1.0
    result["checkpoint"] = f"runs/{attack}"
    for row in result["alphas"]:
        row["fairness"][attack] = {attack: row["fairness"]["portraits"]["gender"]}
        row["accuracy"][attack] = 0.5
    one = GallerySet(attack, attack, png(1), png(2), [(png(3), attack, f"rejected:{attack}")])
    page = Page(render_report(result, [one], title=attack))
    assert len(page.all("script")) == 1
    assert all(not name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert [image for image in page.all("img") if not image["src"].startswith("data:")] == []
    assert "".join(page.text).count(attack) >= 8


def test_code_of_the_checkpoint_quotes_its_place(result, gallery):
    result["checkpoint"] = 'runs/a "b"'
    page = "".join(Page(render_report(result, gallery, title="t")).text)
    assert r'open_clip.create_model_from_pretrained("local-dir:runs/a \"b\"")' in page


def test_each_table_has_every_alpha_and_one_recommended_row(html):
    rows = [a for a in Page(html).all("tr") if "data-alpha" in a]
    alphas = ["0", *(f"0.{i}" for i in range(1, 10)), "1"]
    assert [row["data-alpha"] for row in rows] == alphas * 8
    assert [row["data-alpha"] for row in rows if row.get("class") == "recommended"] == ["0.7"] * 8


def test_every_curve_marks_the_recommended_alpha_and_no_other(html):
    marks = [a["data-alpha"] for a in Page(html).all("circle") if a.get("class") == "mark"]
    assert marks == ["0.7"] * 2 * 4 * 2 * 3 * 2


def test_images_of_the_gallery_are_embedded_in_order(html, gallery):
    sources = [base64.b64decode(a["src"].partition(",")[2]) for a in Page(html).all("img")]
    expected = [image for one in gallery for image in (one.base, one.mask, *(v.image for v in one.variants if v.image))]
    assert sources == expected
    assert all(a["alt"] for a in Page(html).all("img"))


def test_dropdowns_can_name_every_figure_and_the_first_one_shows(html):
    for chooser in html.split("<div data-chooser>")[1:]:
        chooser = chooser.split("</section>")[0]
        menus = [re.findall(r'<option value="([^"]*)"', select) for select in chooser.split("</select>")[:-1]]
        figures = [a for _, a in Page(f"<div>{chooser}").elements if "data-key" in a]
        keys = [json.loads(a["data-key"]) for a in figures]
        assert all(part in menu for key in keys for part, menu in zip(key, menus, strict=True))
        first = [menu[0] for menu in menus]
        assert [key for key, a in zip(keys, figures, strict=True) if "hidden" not in a] == [first] * keys.count(first)


def test_counts_models_stages_and_reasons_are_told(html):
    text = re.sub(r"\s+", " ", "".join(Page(html).text))
    assert "391 of 480 counterfactual sets kept" in text
    assert "8 min 8 s in all" in text
    for words in ("mask too small", "world/parser", "b20d7715", "2 min 22 s", "runs/demo/clip-alpha-0.7", "no image"):
        assert words in text


def test_a_run_without_rejections_gallery_or_appearance_captions_has_a_page(result):
    result["sets"] |= {"kept": 480, "rejected": {}, "failed": 0}
    for row in result["alphas"]:
        del row["accuracy"]["recall@5_appearance"]
    page = Page(render_report(result, [], title="t"))
    assert "No set was rejected." in "".join(page.text)
    assert page.all("img") == []


def test_the_page_without_images_is_under_a_megabyte(result):
    assert len(render_report(result, [], title="t").encode()) < 1_000_000
