import re
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest
from scipy import optimize, stats

from raystudy.report.page import write_report
from raystudy.report.view import MissingCellsError

from .ledger_fixture import FACTS, FixedClaim, make_records, make_study

FIGURES = (
    *("accuracy-by-shots", "error-by-size", "noise-by-size", "methods", "robustness"),
    *("multiplier-bars", "frontier", "held-out", "residuals", "profiles"),
)
TABLES = ("sources", "adaptations", "multipliers", "exchange", "laws", "noise-rates", "claims")
HOSTILE = "<script>alert('$x_1$')</script>&\"</svg>"


class Elements(HTMLParser):
    """Every element of a page with its attributes, and the text outside of style elements."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(make_study(), make_records(), tmp_path_factory.mktemp("report"), FACTS)


def test_every_figure_and_table_has_its_files(report: Path) -> None:
    names = {path.name for path in report.parent.iterdir()}
    wanted = {f"{f}.{ext}" for f in FIGURES for ext in ("pdf", "svg", "csv")}
    assert names == {"report.html"} | wanted | {f"{t}.csv" for t in TABLES}


def test_the_page_needs_nothing_but_itself(report: Path) -> None:
    page = report.read_text(encoding="utf-8")
    assert "://" not in page
    assert "@import" not in page
    elements = Elements(page).found
    assert not {"script", "link", "iframe", "img", "object"} & {tag for tag, _ in elements}
    links = [a["href"] or "" for tag, a in elements if tag == "a"]
    assert all((report.parent / link).is_file() for link in links)
    targets = [a["xlink:href"] or "" for _, a in elements if "xlink:href" in a]
    ids = [a["id"] for _, a in elements if "id" in a]
    assert len(ids) == len(set(ids))
    assert {t.removeprefix("#") for t in targets} <= set(ids)


def test_the_page_tells_verdicts_in_words_and_marks(report: Path) -> None:
    page = re.sub(r"<[^>]*>", "", report.read_text(encoding="utf-8"))
    for verdict in ("✓supported", "✗contradicted", "≈undecided", "–not judged"):
        assert verdict in page
    assert "no cell has method clip" in page
    assert "5,123,456" in page


def test_the_answer_comes_first(report: Path) -> None:
    page = report.read_text(encoding="utf-8")
    assert page.index('class="answer"') < page.index("Claims</h2>") < page.index("<figure")
    # One line of it: the claims come before all else that the sentences say.
    assert page.index("Claims</h2>") < page.index("The next source, ")


def test_claims_say_what_the_study_could_have_seen(report: Path) -> None:
    half, seeds = (9.0 - 5.5) / 2, 3
    level = stats.t.ppf(0.975, seeds - 1)
    least = optimize.brentq(lambda d: stats.nct.sf(level, seeds - 1, d) - 0.8, 1, 50)
    expected = half / level * float(least)  # pyright: ignore[reportArgumentType]
    told = pl.read_csv(report.parent / "claims.csv")
    assert told["detectable"][:3].to_list() == pytest.approx([expected] * 3, rel=1e-4)
    assert told["detectable"][3] is None
    page = report.read_text(encoding="utf-8")
    assert page.count(f"{expected:.1f} points") == 3
    assert page.count("too small a study") == 1  # of the claim that is undecided
    assert "Power is the smallest effect" in page


def test_the_same_records_give_the_same_bytes(report: Path, tmp_path: Path) -> None:
    write_report(make_study(), make_records(), tmp_path, FACTS)
    for path in sorted(tmp_path.iterdir()):
        assert path.read_bytes() == (report.parent / path.name).read_bytes(), path.name


def test_text_from_data_stays_text(tmp_path: Path) -> None:
    claim = FixedClaim(text=HOSTILE, missing=HOSTILE)
    study = make_study(title=HOSTILE, claims=(claim,))
    named = pl.col("source", "noise", "method", "adaptation", "split", "task", "architecture")
    wild = make_records(seeds=2).with_columns(
        pl.when(named.is_in(["latin", "symmetric-0.6", "clip", "fine-tune", "digits", "resnet"]))
        .then(pl.lit(HOSTILE))
        .when(named == "test-noisy")
        .then(pl.lit(f"test-{HOSTILE}"))
        .otherwise(named)
        .name.keep()
    )
    page = Elements(write_report(study, wild, tmp_path, {HOSTILE: HOSTILE}).read_text())
    assert "script" not in {tag for tag, _ in page.found}
    assert sum(tag == "svg" for tag, _ in page.found) == len(FIGURES)
    assert page.text.count(HOSTILE) > len(FIGURES)


@pytest.mark.parametrize(("seeds", "sizes"), [(1, (1000, 2000, 4000)), (1, (2000,))])
def test_a_small_study_still_gives_a_report(
    seeds: int, sizes: tuple[int, ...], tmp_path: Path
) -> None:
    page = write_report(make_study(), make_records(seeds, sizes), tmp_path, {}).read_text()
    assert (tmp_path / "accuracy-by-shots.pdf").read_bytes().startswith(b"%PDF")
    for word in ("nan", "inf ", "None"):
        assert word not in Elements(page).text


def test_a_single_source_says_what_is_missing(tmp_path: Path) -> None:
    alone = pl.col("source").is_in(["latin"]) & (pl.col("noise") == "clean")
    records = make_records(1, (2000,)).filter(
        alone, pl.col("method") == "supervised", pl.col("split").is_in(["test", "validation"])
    )
    page = write_report(make_study(claims=()), records, tmp_path, {}).read_text()
    missing = page[page.index("Left out") :]
    for title, needs in {
        "Noise against size": "clean and corrupted",
        "Methods side by side": "a second method",
        "Accuracy under shift": "named shifts",
        "Data multipliers": "two sources",
    }.items():
        assert re.search(f"{title}</strong>: [^<]*{needs}", missing)
    assert not (tmp_path / "methods.pdf").exists()
    assert "Claims</h2>" not in page


def test_two_tasks_get_a_part_each(tmp_path: Path) -> None:
    records = pl.concat([make_records(2), make_records(2, task="letters/new")])
    page = write_report(make_study(), records, tmp_path, {}).read_text()
    assert len(list(tmp_path.glob("*-accuracy-by-shots.pdf"))) == 2
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))


def test_an_empty_ledger_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingCellsError, match="finish one"):
        write_report(make_study(), make_records(1).clear(), tmp_path, {})
