"""The study's page is what its results say."""

import sys
from pathlib import Path

STUDY = Path(__file__).parents[2] / "examples" / "study"


def test_the_page_is_made_of_the_results(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(STUDY))
    import report

    report.main(tmp_path)
    page = (tmp_path / "RESULTS.md").read_text(encoding="utf-8")
    assert page == (STUDY / "RESULTS.md").read_text(encoding="utf-8")
    pictures = {path.name for kind in ("*.png", "*.jpg") for path in STUDY.glob(kind)}
    assert {path.name for path in tmp_path.iterdir()} == {"RESULTS.md"} | pictures
    sys.modules.pop("report")
    sys.modules.pop("study")
