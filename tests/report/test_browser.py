"""The page in a real browser: it opens without a network, and nothing runs out of its frame."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from raystudy.report.fit_page import write_fit_page
from raystudy.report.fitted_table import FittedTable
from raystudy.report.law_arms import Words
from raystudy.report.page import write_report

from .law_tables import chinchilla
from .ledger_fixture import FACTS, make_records, make_study

pytestmark = pytest.mark.slow

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
PROBE = """<script>
const wide = [...document.querySelectorAll("body *")].filter(e => {
  const frame = e.closest("figure, .scroll, [style*=overflow]");
  return e.getBoundingClientRect().right > innerWidth + 1 && !frame;
}).map(e => e.tagName + ":" + e.textContent.slice(0, 40));
document.title = JSON.stringify({
  figures: document.querySelectorAll("svg").length,
  tables: document.querySelectorAll("table").length,
  drawn: [...document.querySelectorAll("svg")].every(s => s.getBoundingClientRect().height > 100),
  wide: wide, fetched: performance.getEntriesByType("resource").length});
</script>"""


@pytest.mark.parametrize("width", [1100, 480])
def test_the_page_opens_whole(tmp_path: Path, width: int) -> None:
    page = write_report(make_study(), make_records(), tmp_path, FACTS)
    seen = opened(page, width, tmp_path)
    assert seen["figures"] == 10
    assert seen["tables"] >= 5
    assert seen["drawn"]
    assert seen["fetched"] == 0
    assert seen["wide"] == []


@pytest.mark.parametrize("width", [1100, 480])
def test_the_page_of_a_fit_opens_whole(tmp_path: Path, width: int) -> None:
    arm = chinchilla()
    found = FittedTable([arm], {"other": "too few"}, [], {}, Words(("params", "tokens"), "loss"))
    page = write_fit_page(found, tmp_path, "loss of a table", {"rows": 56})
    seen = opened(page, width, tmp_path)
    assert seen == seen | {"figures": 5, "tables": 1, "drawn": True, "fetched": 0, "wide": []}


def opened(page: Path, width: int, folder: Path) -> dict[str, Any]:
    """What a browser of this width finds on ``page``."""
    if CHROMIUM is None:
        pytest.skip("no chromium here: install it to look at pages")
    page.write_text(page.read_text().replace("</body>", PROBE + "</body>"))
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu"]
    command += ["--disable-background-networking", "--disable-component-update"]
    command += [f"--user-data-dir={folder / 'profile'}", f"--window-size={width},2000"]
    result = subprocess.run(
        [*command, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=120
    )
    return json.loads(result.stdout.split("<title>")[1].split("</title>")[0])
