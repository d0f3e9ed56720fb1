"""The embedded corpora: what they hold, and what none of them shares with another."""

import pytest

from raystudy.text import corpora
from raystudy.text.documents import of_split

MEGABYTES = {"prose": 7, "python": 10, "cpp": 12}


@pytest.fixture(scope="module")
def texts() -> dict[str, list[str]]:
    return {name: [d.text for d in corpora.documents(name)] for name in MEGABYTES}  # type: ignore[arg-type]


@pytest.mark.parametrize("corpus", MEGABYTES)
def test_size_is_about_as_stated(texts: dict[str, list[str]], corpus: str) -> None:
    megabytes = sum(len(t.encode()) for t in texts[corpus]) / 1e6
    assert 0.6 < megabytes / MEGABYTES[corpus] < 1.7


def test_corpora_share_no_document(texts: dict[str, list[str]]) -> None:
    sets = [set(t) for t in texts.values()]
    assert not sets[0] & sets[1] | sets[0] & sets[2] | sets[1] & sets[2]


def test_no_docstring_of_the_python_corpus_is_prose(texts: dict[str, list[str]]) -> None:
    """Of long lines of prose, as good as none is a line of CPython's library."""
    code = {line.strip() for t in texts["python"] for line in t.splitlines() if len(line) > 50}
    prose = [line.strip() for t in texts["prose"] for line in t.splitlines() if len(line) > 50]
    assert len(prose) > 20_000
    assert sum(line in code for line in prose) < 0.005 * len(prose)


def test_prose_shows_no_interactive_python(texts: dict[str, list[str]]) -> None:
    docstrings = [t for t in texts["prose"] if "Parameters\n" in t]
    assert docstrings
    assert not any(line.startswith(">>>") for t in docstrings for line in t.splitlines())


def test_python_is_split_by_file() -> None:
    names = [{d.name for d in of_split(corpora.documents("python"), s)} for s in corpora_splits()]
    assert all(names)
    assert sum(map(len, names)) == len(set.union(*names))


def corpora_splits() -> tuple:
    return "train", "validation", "test"


def test_content_follows_names_and_sizes(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    first, second = tmp_path / "a.py", tmp_path / "b.py"
    first.write_text("x = 1\n")
    second.write_text("x = 12\n")

    def digest_of(*files) -> str:
        corpora.content.cache_clear()
        monkeypatch.setattr(corpora, "_files", lambda corpus: tuple(files))
        return corpora.content("python")

    try:
        one = digest_of(("a", first))
        assert one == digest_of(("a", first))
        assert len({one, digest_of(("a", second)), digest_of(("b", first))}) == 3
    finally:
        corpora.content.cache_clear()
