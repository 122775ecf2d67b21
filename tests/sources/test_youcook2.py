import json

from datasets_build.sources.youcook2 import YouCook2Config, parse_youcook2, read_youcook2
from tests.sources.corpora import codes, file, rows, spans


def test_the_captions_are_read_whole(real_data):
    path = real_data / "annotations/youcook2/yc2_val.json"
    reading = read_youcook2(YouCook2Config(file=path))
    content = json.loads(path.read_text())
    assert (len(reading.entries), reading.n_rows) == (457, sum(len(v["timestamps"]) for v in content.values()))
    assert (len(rows(reading)), codes(reading)) == (3492, {})
    # Files on disk go by the bare id.
    assert reading.entries[0].names == ("v_xHr8X2Wpmno", "xHr8X2Wpmno")


def test_the_published_database_gives_recipe_steps(tmp_path):
    steps = [{"segment": [90, 102], "id": 0, "sentence": "spread margarine on bread"}]
    video = {"duration": 311.77, "subset": "validation", "recipe_type": "113", "annotations": steps}
    path = file(tmp_path, "trainval.json", json.dumps({"database": {"GLd3aX16zBg": video}}))
    reading = parse_youcook2(path.read_text(), YouCook2Config(file=path))
    assert (spans(reading), reading.entries[0].split) == ([(90, 102)], "validation")
    (row,) = rows(reading)
    assert (row.kind, row.text, row.label) == ("caption", "spread margarine on bread", None)
