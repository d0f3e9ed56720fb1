"""Captions made from class names, drawn for each example by itself."""

from collections import Counter

import pytest
from pydantic import ValidationError

from raystudy.sources.captioned import Captioned
from raystudy.subset import subset

from .shelf import ByExample, ByShard, Written, catalogue, everything, listed

NAMES = ("tench, Tinca tinca", "jack-o'-lantern", "{} odd {name}")
ROWS = [
    {"id": "none", "label": -1, "caption": ""},
    {"id": "blank", "label": -1, "caption": " \n"},
    {"id": "text", "label": -1, "caption": "a lake"},
    {"id": "label", "label": 0, "caption": ""},
    {"id": "both", "label": 1, "caption": "my pumpkin"},
    {"id": "last", "label": 2, "caption": "  "},
]
OF = catalogue(a=listed(ROWS, class_names=NAMES))


@pytest.mark.parametrize("source", [Written(), ByExample(), ByShard()])
@pytest.mark.parametrize("replace", [False, True])
def test_who_is_captioned(source, replace: bool) -> None:
    made = Captioned(source=source, templates=("one {}, two {}",), replace=replace)
    rows = everything(made, OF)
    assert {row["id"]: row["caption"] for row in rows} == {
        "text": "a lake",
        "label": "one tench, two tench",
        "both": "one jack-o'-lantern, two jack-o'-lantern" if replace else "my pumpkin",
        "last": "one {} odd {name}, two {} odd {name}",
    }
    assert {row["id"]: row["label"] for row in rows} == {
        row["id"]: row["label"] for row in ROWS[2:]
    }
    _, names = subset(made, 4, OF, 0)
    assert names == NAMES


def test_templates_are_drawn_evenly_and_by_id() -> None:
    of = catalogue(
        a=listed(({"id": f"{i}", "label": i % 2} for i in range(3000)), 5, ("cat", "dog"))
    )
    templates = ("a {}", "b {}", "c {}")
    drawn = [
        {row["id"]: row["caption"] for row in everything(made, of, seed)}
        for made, seed in [
            (Captioned(source=ByExample(), templates=templates), 0),
            (Captioned(source=ByShard(), templates=templates), 0),
            (Captioned(source=ByExample(), templates=templates), 1),
        ]
    ]
    assert drawn[0] == drawn[1]
    counts = Counter(drawn[0].values())
    assert set(counts) == {f"{t} {n}" for t in "abc" for n in ("cat", "dog")}
    assert all(abs(count - 500) < 100 for count in counts.values())  # 5 standard deviations
    agree = sum(drawn[0][id] == drawn[2][id] for id in drawn[0])
    assert abs(agree - 1000) < 130


def test_its_own_templates_name_the_class_once() -> None:
    templates = Captioned(source=Written()).templates
    assert len(set(templates)) == len(templates) > 1
    assert all(template.count("{}") == 1 for template in templates)


def test_a_label_without_a_name_is_refused_where_it_is_needed() -> None:
    of = catalogue(a=listed([{"id": "x", "label": 3}], class_names=["cat"]))
    with pytest.raises(ValueError, match="Captioned: 'a' has label 3 but 1 class names"):
        subset(Captioned(source=Written()), 1, of, 0)
    of = catalogue(a=listed([{"id": "x", "label": 3, "caption": "some text"}]))
    assert subset(Captioned(source=Written()), 1, of, 0)[0]["caption"].to_pylist() == ["some text"]


def test_fields_are_the_identity() -> None:
    made = Captioned(source=Written())
    assert made.name == "a captioned"
    assert Captioned(source=Written(), label="pairs").name == "pairs"
    assert made.inputs() == (Written(),)
    assert made.known_size() is None
    assert len({made.key, Captioned(source=Written(), replace=True).key}) == 2
    with pytest.raises(FileNotFoundError, match="no font for a"):
        made.check()


@pytest.mark.parametrize("templates", [(), ("no place",), ("a {}", "a {name}")])
def test_templates_have_a_place_for_the_name(templates: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError, match="templates"):
        Captioned(source=Written(), templates=templates)
