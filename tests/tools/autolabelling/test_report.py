from __future__ import annotations

import base64
import json
import re
from dataclasses import replace

import cv2
import numpy as np
import pytest
from browser import result_of

from autolabelling.report import is_rated, write_label_report
from autolabelling.report_items import ReportItem, crop_with_overlay
from mmdet_discobox.labelling import keep_accepted

NASTY = '</script><script>document.title = "broken"</script>'


def item(ann_id, class_name, quality, *, box=(10, 10, 20, 20), file_name="bild ü.png"):
    image = np.full((60, 80, 3), 90, np.uint8)
    mask = np.zeros((60, 80), bool)
    mask[12:28, 12:28] = True
    digest = f"of {ann_id}"
    return ReportItem(ann_id, class_name, quality, file_name, image, mask, box, digest)


#: a browser would round this number to another
HUGE = 2**63 + 1

ITEMS = [
    item(1, "dog", 0.9),
    item("b-2", "dog", 0.2, file_name=NASTY),
    item(HUGE, "Äpfel", 0.5),
    item(4, NASTY, 0.7),
]


LEFT_OUT = {5: "of 5", "b-6": "of b-6", HUGE + 2: "of the last"}


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "index.html"
    write_label_report(path, ITEMS, title=NASTY, left_out=LEFT_OUT)
    return path


@pytest.mark.parametrize(
    ("fields", "rated"),
    [
        (dict(segmentation=[[1, 1, 5, 1, 5, 5]], mask_quality=0.5), True),
        (dict(segmentation=[], mask_quality=0.5), False),
        (dict(mask_quality=0.5), False),
        (dict(segmentation=[[1, 1, 5, 1, 5, 5]], mask_quality=None), False),
        (dict(segmentation=[[1, 1, 5, 1, 5, 5]], mask_quality="0.5"), False),
    ],
)
def test_only_masks_with_a_quality_are_shown(fields, rated):
    assert is_rated(dict(id=1, bbox=[1, 1, 4, 4], **fields)) is rated


def test_the_page_needs_no_network(page):
    text = page.read_text(encoding="utf-8")
    assert not re.findall(r"(?:https?:)?//[\w-]+\.\w+|<link|\bimport\b|\bfetch\b|@import", text)
    assert "default-src 'none'" in text
    assert sorted(page.parent.iterdir()) == [page]


def test_the_page_contains_the_images(page):
    data = re.search(r'id="data">(.*?)</script>', page.read_text(encoding="utf-8"), re.DOTALL)
    rows = json.loads(data[1])["items"]
    assert [json.loads(row["id"]) for row in rows] == [1, "b-2", HUGE, 4]
    assert all(isinstance(row["id"], str) for row in rows)  # not rounded by the page
    assert rows[1]["file"] == NASTY
    head, content = rows[0]["overlay"].split(",")
    assert head == "data:image/png;base64"
    overlay = cv2.imdecode(np.frombuffer(base64.b64decode(content), np.uint8), cv2.IMREAD_UNCHANGED)
    assert overlay.shape == (440, 440, 4)
    found = {tuple(map(int, colour)) for colour in overlay.reshape(-1, 4) if colour[3]}
    assert found == {(40, 120, 255, 80), (40, 120, 255, 255), (255, 255, 255, 150)}  # BGRA


def key_of(path, *items, title="a.json"):
    write_label_report(path, items, title=title)
    text = path.read_text(encoding="utf-8")
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])["key"]


def test_decisions_are_stored_per_set_of_masks(tmp_path):
    """New masks of the same boxes start without decisions."""
    first = item(1, "dog", 0.9)
    mask = first.mask.copy()
    mask[20:] = False
    others = [
        [replace(first, mask=mask)],
        [replace(first, quality=0.8)],
        [replace(first, file_name="b.png")],
        [replace(first, ann_id=2)],
        [first, item(2, "dog", 0.9)],
    ]
    path = tmp_path / "index.html"
    key = key_of(path, first)
    assert key_of(path, first) == key
    assert key_of(path, first, title="b.json") != key
    assert key not in [key_of(path, *items) for items in others]


def test_crop_and_overlay_are_aligned():
    """Box (10, 10, 20, 20) and margins of 9: pixels 1 to 39 become 440; the mask is 12 to 28."""
    crop, overlay = crop_with_overlay(item(1, "dog", 0.5))
    assert crop.shape == (38, 38, 3)  # the browser enlarges it
    assert overlay.shape == (440, 440)
    rows, cols = np.nonzero(overlay == 1)  # the mask inside its outline
    scale = 440 / 38
    for pixels in (rows, cols):
        assert pixels.min() == pytest.approx((12 - 1) * scale, abs=4)
        assert pixels.max() == pytest.approx((28 - 1) * scale, abs=4)


def test_large_objects_keep_more_than_their_card_shows():
    image = np.zeros((900, 1200, 3), np.uint8)
    image[:, 600:] = 255
    mask = image[..., 0] > 0
    large = replace(item(1, "dog", 0.5), image=image, mask=mask, box=(600, 0, 600, 900))
    crop, overlay = crop_with_overlay(large)
    assert crop.shape == (*overlay.shape, 3)
    assert max(overlay.shape) == 440
    inside = overlay == 1
    assert crop[inside].min() > 200
    assert inside.sum() > 0.95 * (crop[..., 0] > 128).sum()


@pytest.mark.parametrize(
    "box", [(0, 0, 80, 60), (-40, -40, 300, 300), (79.5, 0, 0.3, 60), (70, 50, 900, 0.5)]
)
def test_crops_of_degenerate_boxes(box):
    crop, overlay = crop_with_overlay(item(1, "dog", 0.5, box=box))
    height, width = crop.shape[:2]
    assert min(height, width) > 0
    assert max(overlay.shape) == 440
    assert overlay.shape[0] * width == pytest.approx(overlay.shape[1] * height, rel=0.02)


#: presses keys, sets controls, and reads the visible state
STEPS = """
const ids = () => [...document.querySelectorAll("figure")].map((figure) => figure.dataset.id);
const set = (id, value) => {
  const control = document.getElementById(id);
  control.value = value;
  control.dispatchEvent(new Event("change", { bubbles: true }));
};
const press = (key) => document.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
const seen = { title: document.title, worst: ids() };
seen.disabled = document.getElementById("save").disabled;
await Promise.all([...document.images].map((image) => image.decode()));
const widths = (measure) => [...new Set([...document.images].map(measure))];
seen.widths = widths((image) => image.naturalWidth);
seen.heights = widths((image) => image.getBoundingClientRect().height);
set("order", "best"); seen.best = ids();
set("order", "class"); seen.byClass = ids();
seen.classes = [...document.getElementById("class").options].map((option) => option.textContent);
set("order", "worst"); set("class", "=dog"); seen.dogs = ids();
set("class", ""); set("low", "0.4"); set("high", "0.8"); seen.middle = ids();
set("low", "0"); set("high", "1");
press("a"); press("r"); press("ArrowRight"); press("a"); press("ArrowLeft"); press("a"); press("u");
seen.states = [...document.querySelectorAll("figure")].map((figure) => figure.dataset.state || "");
press("m"); seen.plain = document.body.classList.contains("plain");
set("state", "accepted"); seen.accepted = ids();
let blob; let name;
URL.createObjectURL = (made) => { blob = made; return "data:,"; };
HTMLAnchorElement.prototype.click = function () { name = this.download; };
document.getElementById("save").click();
seen.saved = await blob.text(); seen.name = name;
seen.count = document.getElementById("count").textContent;
seen.note = document.querySelector(".note").textContent;
try { await fetch("https://example.org"); seen.network = "yes"; } catch { seen.network = "no"; }
return JSON.stringify(seen);
"""


TWO, THREE = json.dumps("b-2"), json.dumps(HUGE)  # the texts of the ids


def test_the_page_in_a_browser(page, tmp_path):
    seen = json.loads(result_of(page, STEPS, tmp_path / "profile"))
    assert seen["title"] == NASTY
    assert seen["worst"] == [TWO, THREE, "4", "1"]
    assert seen["disabled"] is True
    assert seen["widths"] == [38, 440]  # in turn the crop and its overlay,
    assert seen["heights"] == [220]  # one on the other
    assert seen["best"] == ["1", "4", THREE, TWO]
    assert seen["byClass"][-2:] == [TWO, "1"]
    assert seen["classes"] == ["all", NASTY, "dog", "Äpfel"]
    assert seen["dogs"] == [TWO, "1"]
    assert seen["middle"] == [THREE, "4"]
    # each decision selects the next mask; the last was accepted and then undone
    assert seen["states"] == ["accepted", "rejected", "accepted", ""]
    assert seen["plain"] is True
    assert seen["accepted"] == [TWO, "4"]
    assert seen["name"] == "accepted.json"
    assert json.loads(seen["saved"]) == {
        "accepted": ["b-2", 4],
        "rejected": [HUGE],
        "left_out": [*LEFT_OUT],
        "masks": {
            **{TWO: "of b-2", THREE: f"of {HUGE}", "4": "of 4"},
            **{json.dumps(key): digest for key, digest in LEFT_OUT.items()},
        },
    }
    assert seen["count"] == "2 of 4 shown, 2 accepted, 1 rejected"
    assert seen["note"] == "3 masks of higher quality are not shown. They stay in the data set."
    assert seen["network"] == "no"
    accepted = tmp_path / seen["name"]
    accepted.write_text(seen["saved"])
    ids = [*(item.ann_id for item in ITEMS), *LEFT_OUT]
    dataset = dict(
        images=[dict(id=1, width=80, height=60)],
        annotations=[
            dict(id=i, image_id=1, segmentation=[[0, 0, 9, 0, 9, 9]], mask_quality=0.5) for i in ids
        ],
    )
    with pytest.raises(ValueError, match="but 6 are others than those of the page"):
        keep_accepted(dataset, accepted)
    accepted.write_text(json.dumps({**json.loads(seen["saved"]), "masks": {}}))
    kept = keep_accepted(dataset, accepted)
    assert [a["id"] for a in kept["annotations"]] == ["b-2", 4, *LEFT_OUT]


#: of a page that is longer than its window
MANY = [item(value, "dog", value / 60) for value in range(60)]

SCROLLED = """
const press = (key) => document.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
const order = document.getElementById("order");
const seen = {};
const look = (name) => {
  const figure = document.querySelector(".current");
  const head = document.querySelector("header").getBoundingClientRect().bottom;
  const { top, bottom } = figure.getBoundingClientRect();
  const decided = document.querySelectorAll("[aria-pressed=true]").length;
  seen[name] = [figure.dataset.id, decided, top >= head && bottom <= innerHeight];
};
scrollTo(0, 1e6); look("away");
press("a"); look("back");
press("a"); look("decided");
scrollTo(0, 1e6);
order.value = "best"; order.dispatchEvent(new Event("change", { bubbles: true })); look("sorted");
for (let i = 0; i < 30; i++) press("ArrowRight");
for (let i = 0; i < 15; i++) { press("ArrowLeft"); }
look("upwards");
return JSON.stringify(seen);
"""


def test_nobody_decides_about_a_mask_out_of_view(tmp_path):
    path = tmp_path / "index.html"
    write_label_report(path, MANY, title="a.json")
    assert json.loads(result_of(path, SCROLLED, tmp_path / "profile")) == {
        "away": ["0", 0, False],
        "back": ["0", 0, True],
        "decided": ["1", 1, True],
        "sorted": ["59", 1, True],
        "upwards": ["44", 1, True],
    }


UNDONE = """
const press = (key) => document.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
const rest = document.getElementById("rest");
const set = (id, value) => {
  const control = document.getElementById(id);
  control.value = value;
  control.dispatchEvent(new Event("change", { bubbles: true }));
};
const seen = [];
const look = () => {
  const decided = Object.entries(JSON.parse(localStorage[storeName])).map((pair) => pair.join(" "));
  const figure = document.querySelector(".current");
  seen.push([decided.join(", "), figure.dataset.id, figure.dataset.state || "", rest.textContent]);
};
press("a"); press("R"); look();  // with Caps Lock
press("Z"); look();
rest.click(); look();
press("ArrowLeft"); press("u"); look();
press("z"); press("z"); look();
set("state", "undecided"); press("z"); look();
press("z"); look();
set("state", ""); rest.click(); seen.push([rest.textContent, rest.disabled]);
return JSON.stringify(seen);
"""


def test_the_last_step_can_be_undone(tmp_path):
    path = tmp_path / "index.html"
    write_label_report(path, ITEMS[:3], title="a.json")
    assert json.loads(result_of(path, UNDONE, tmp_path / "profile")) == [
        ["1 accepted, 2 rejected", "1", "", "Accept all 1 undecided"],
        ["1 accepted", THREE, "", "Accept all 2 undecided"],  # z selects the mask
        ["0 accepted, 1 accepted, 2 accepted", THREE, "accepted", "Accept all 0 undecided"],
        ["0 accepted, 2 accepted", TWO, "", "Accept all 1 undecided"],
        ["1 accepted", THREE, "", "Accept all 2 undecided"],
        ["", TWO, "", "Accept all 3 undecided"],  # back among the undecided ones
        ["", TWO, "", "Accept all 3 undecided"],  # nothing left to undo
        ["Accept all 0 undecided", True],
    ]


OTHER_TAB = """
localStorage[storeName] = JSON.stringify({ 1: "rejected" });  // as the other tab does
dispatchEvent(new StorageEvent("storage", { key: storeName }));
document.dispatchEvent(new KeyboardEvent("keydown", { key: "a", bubbles: true }));
return localStorage[storeName] + document.getElementById("count").textContent;
"""


def test_another_tab_of_the_page_loses_no_decisions(tmp_path):
    path = tmp_path / "index.html"
    write_label_report(path, [item(1, "dog", 0.2), item(2, "dog", 0.9)], title="a.json")
    expected = '{"0":"accepted","1":"rejected"}2 of 2 shown, 1 accepted, 1 rejected'
    assert result_of(path, OTHER_TAB, tmp_path / "profile") == expected


CLICKED = """
const seen = [];
const figures = () => [...document.querySelectorAll("figure")];
const button = (place, state) => figures()[place].querySelector("button." + state);
const look = () => seen.push([
  figures().map((figure) => figure.dataset.state).join(" "),
  [...document.querySelectorAll("[aria-pressed=true]")].map((each) => each.ariaLabel).join(", "),
  document.querySelector(".current").dataset.id,
]);
scrollTo(0, 7);
button(1, "accepted").click(); look();
button(0, "rejected").click(); look();
button(1, "rejected").click(); look();
button(1, "rejected").click(); look();
const scrolled = scrollY;
const press = (key) => document.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
press("z"); look();
button(0, "accepted").focus(); press("u"); look();
press("ArrowRight"); seen.push(document.activeElement.tagName);
const down = new MouseEvent("mousedown", { bubbles: true, cancelable: true });
seen.push(button(1, "accepted").dispatchEvent(down), scrolled);
return JSON.stringify(seen);
"""


def test_buttons_decide_without_a_keyboard_and_without_scrolling(tmp_path):
    path = tmp_path / "index.html"
    items = [item(i, "dog", i / 40, file_name=f"{i}.png") for i in range(40)]
    write_label_report(path, items, title="a.json")
    seen = json.loads(result_of(path, CLICKED, tmp_path / "profile"))
    states = [(first.split(" ")[:2], *rest) for first, *rest in seen[:6]]
    assert states == [
        (["", "accepted"], "Accept dog, 1.png, id 1", "1"),
        (["rejected", "accepted"], "Reject dog, 0.png, id 0, Accept dog, 1.png, id 1", "0"),
        (["rejected", "rejected"], "Reject dog, 0.png, id 0, Reject dog, 1.png, id 1", "1"),
        (["rejected", ""], "Reject dog, 0.png, id 0", "1"),  # again: clears
        (["rejected", "rejected"], "Reject dog, 0.png, id 0, Reject dog, 1.png, id 1", "1"),
        (["", "rejected"], "Reject dog, 1.png, id 1", "0"),  # the focus selects, too
    ]
    assert seen[6:] == ["BODY", False, 7]  # keys go to the selected card, not to the last button


ENLARGED = """
const seen = [];
const large = document.querySelector("dialog");
const press = (key) => (document.activeElement || document.body).dispatchEvent(
  new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
const pressed = () => {
  const button = large.querySelector("[aria-pressed=true]");
  return button ? button.className : "";
};
const look = () => {
  const text = large.open ? large.textContent.split(" · ")[1].slice(0, 6) : "closed";
  seen.push([text, large.open ? pressed() : "", document.querySelector(".current").dataset.id]);
};
press("Enter"); look();
const [image, overlay] = large.querySelectorAll("img");
await Promise.all([image.decode(), overlay.decode()]);
const { width, height } = image.getBoundingClientRect();
seen.push(Math.min(width, height) > 2 * 220, image.width === overlay.width);
press("a"); look();
press("r"); look();
press("z"); look();
press("z"); look();
large.querySelector("button.rejected").click(); look();
press("ArrowLeft"); look();
press("Enter"); look();
const click = (place) => document.querySelectorAll("figure")[place].dispatchEvent(
  new MouseEvent("click", { bubbles: true }));
click(2); click(1); look();
click(1); look();
large.querySelector("img").click(); look();
large.dispatchEvent(new Event("close"));  // sooner than the browser does
seen.push(large.childElementCount);
press("Enter"); large.dispatchEvent(new Event("close")); look();
press("Enter");
const button = document.querySelector("button.rejected");
button.focus(); press("Enter"); look();
return JSON.stringify(seen);
"""


def test_a_mask_can_be_enlarged_and_decided_there(tmp_path):
    path = tmp_path / "index.html"
    write_label_report(path, [item(i, "dog", i / 4) for i in range(3)], title="a.json")
    assert json.loads(result_of(path, ENLARGED, tmp_path / "profile")) == [
        ["1 of 3", "", "0"],
        *(True, True),
        ["2 of 3", "", "1"],  # decisions go on to the next
        ["3 of 3", "", "2"],
        ["2 of 3", "", "1"],
        ["1 of 3", "", "0"],
        ["2 of 3", "", "1"],  # so do the buttons
        ["1 of 3", "rejected", "0"],
        ["closed", "", "0"],
        ["closed", "", "1"],  # a click on each of two cards
        ["2 of 3", "", "1"],  # two on one
        ["closed", "", "1"],
        0,
        ["2 of 3", "", "1"],  # closed and opened at once
        ["closed", "", "0"],  # Enter on a button presses it
    ]


#: saves the decisions about all masks, and loads what was saved or `file`
LOADED = """
const seen = [];
const told = document.getElementById("told");
const input = document.getElementById("file");
const load = async (text) => {
  const files = new DataTransfer();
  files.items.add(new File([text], "accepted.json"));
  input.files = files.files;
  told.textContent = "";
  input.dispatchEvent(new Event("change", { bubbles: true }));
  while (!told.textContent) await new Promise((resolve) => setTimeout(resolve, 10));
  seen.push([told.textContent, localStorage[storeName]]);
};
const press = (key) => document.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
let blob;
URL.createObjectURL = (made) => { blob = made; return "data:,"; };
HTMLAnchorElement.prototype.click = () => {};
const save = async () => { document.getElementById("save").click(); return blob.text(); };
"""


def test_saved_decisions_can_be_loaded(tmp_path):
    """Also those about ids that a browser would round, or that look like json."""
    path = tmp_path / "index.html"
    ids = [1, '"2", 3', "ü\\", HUGE]
    write_label_report(path, [item(each, "dog", 0.5) for each in ids], title="a.json")
    script = LOADED + (
        'press("a"); press("r"); press("r"); press("a"); const text = await save();'
        'press("z"); press("z"); press("ArrowLeft"); press("ArrowLeft"); press("r");'
        "await load(text); await load(text); press('z'); seen.push(localStorage[storeName]);"
        "return JSON.stringify([text, seen, input.value]);"
    )
    text, seen, value = json.loads(result_of(path, script, tmp_path / "profile"))
    assert json.loads(text)["accepted"] == [1, HUGE]
    all_states = '{"0":"accepted","1":"rejected","2":"rejected","3":"accepted"}'
    told = "accepted.json: 4 decisions loaded."
    assert seen[:2] == [[told, all_states]] * 2
    assert seen[2] == '{"0":"rejected","1":"rejected"}'  # as before the first: one step
    assert value == ""


def test_decisions_about_other_masks_are_not_loaded(tmp_path):
    """As those of a page with more masks, of which one has changed since."""
    path = tmp_path / "index.html"
    items = [item(1, "dog", 0.1), item("b", "dog", 0.2), item(3, "dog", 0.3)]
    write_label_report(path, items, title="a.json", left_out={4: "of 4"})
    digests = {"1": "of 1", '"b"': "another", "3": "of 3", "4": "of 4", "5": "of 5"}
    saved = dict(accepted=[1, "b", 4], rejected=[5], left_out=[3], masks=digests)
    fewer = dict(saved, accepted=[5], rejected=[])
    bad = [json.dumps(each) for each in ([1, 3], dict(accepted=[1]), dict(saved, accepted=None))]
    script = LOADED + "".join(
        f"await load({json.dumps(text)});"
        for text in (json.dumps(saved, indent=1), json.dumps(fewer), "{", *bad)
    )
    seen = json.loads(
        result_of(path, script + "return JSON.stringify(seen);", tmp_path / "profile")
    )
    where = "are left out, also of the next download: their masks are not on this page"
    wrong = "accepted.json is not loaded: it is no file that “Download decisions” has saved."
    assert [text for text, _ in seen] == [
        "accepted.json: 1 decisions loaded. 1 are not taken over: their masks have changed. "
        f"2 {where} (--report-limit draws more).",
        f"accepted.json: 0 decisions loaded. 1 {where}.",
        *[wrong] * 4,
    ]
    assert {states for _, states in seen} == {'{"0":"accepted"}'}


#: as in a private window: from the start, or when there is no more room
REFUSING = """
Object.defineProperty(window, "localStorage", { configurable: true, get() { throw new Error(); } });
"""
UNSTORED = """
const note = document.getElementById("unstored");
const seen = [note.hidden];
const press = (key) => document.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
const { setItem } = Storage.prototype;
Storage.prototype.setItem = () => { throw new Error(); };
press("a"); seen.push(note.hidden);
Storage.prototype.setItem = setItem;
press("a"); seen.push(note.hidden, document.getElementById("count").textContent);
return JSON.stringify(seen);
"""


@pytest.mark.parametrize("refused", [False, True])
def test_a_browser_that_stores_no_decisions_is_told(tmp_path, refused):
    path = tmp_path / "index.html"
    write_label_report(path, ITEMS, title="a.json")
    text = path.read_text(encoding="utf-8")
    if refused:
        path.write_text(
            text.replace('"use strict";', f'"use strict";{REFUSING}', 1), encoding="utf-8"
        )
    *hidden, count = json.loads(result_of(path, UNSTORED, tmp_path / "profile"))
    assert hidden == [not refused, False, not refused]
    assert count == "4 of 4 shown, 2 accepted, 0 rejected"  # until the page is loaded again


def test_an_empty_page_tells_why(tmp_path):
    path = tmp_path / "index.html"
    assert write_label_report(path, [], title="a.json", empty="all are a person's") == 0
    script = "return document.querySelector('main').textContent;"
    shown = result_of(path, script, tmp_path / "profile")
    assert shown == "There are no masks to review: all are a person's."
