"""The model card: its scores, its words and its samples."""

import json

from fewgan.commands.push import card


def test_scores_of_other_steps_are_not_those_of_the_generator(tmp_path):
    (tmp_path / "fid").mkdir()
    row = {"against": "held-out", "truncation": None, "precision": 0.5, "recall": 0.5, "count": 100, "kid": 0.1}
    rows = [{**row, "step": step, "frechet_distance": float(step)} for step in (500, 1000)]
    facts = {"score_name": "FID", "features": "inception", "rows": rows}
    (tmp_path / "fid" / "scores.json").write_text(json.dumps(facts))
    table = [line for line in card._scores(tmp_path, 1000) if line.startswith("| held-out")]
    assert [line.split(" | ")[2] for line in table] == ["1000"]
    assert card._scores(tmp_path, 600) == []
    (tmp_path / "fid" / "scores.json").write_text(json.dumps(facts | {"own_photos": False}))
    assert card._scores(tmp_path, 1000) == []  # against other photos
    (tmp_path / "fid" / "own-5").mkdir()
    (tmp_path / "fid" / "own-5" / "scores.json").write_text(json.dumps(facts))
    assert len(card._scores(tmp_path, 1000)) > 0


def test_names_are_never_markdown():
    assert card.plain("a](x)\n# <img src=x> `b`") == r"a\](x) \# &lt;img src=x&gt; \`b\`"
