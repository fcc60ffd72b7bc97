"""Annotations in each form that they come in."""

import json
import os

import numpy as np
import pytest

from allin1_core.errors import InputError
from allin1_core.evaluation import read_reference
from allin1_core.evaluation.matching import find_references
from allin1_core.evaluation.readers import read_references


def write(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def spans(reference):
    return [(s.start, s.end, s.label) for s in reference.segments]


def test_beats_file_gives_beats_and_downbeats(tmp_path):
    found = read_reference(write(tmp_path, "a.beats", "0.5\t4\n1.0\t1\n1.5\t2\n\n"))
    assert found.beats.tolist() == [0.5, 1.0, 1.5]
    assert found.downbeats.tolist() == [1.0]
    assert found.segments is None


@pytest.mark.parametrize("text", ["0.5\n1.0\n", "time\n0.5\n1.0\n", "# by ear\n0.5\n1.0"])
def test_times_alone_are_beats_without_downbeats(tmp_path, text):
    found = read_reference(write(tmp_path, "a.txt", text))
    assert found.beats.tolist() == [0.5, 1.0]
    assert found.downbeats is None


def test_places_may_be_floats_or_bar_and_beat(tmp_path):
    assert read_reference(write(tmp_path, "a.txt", "0.5 1.0\n1.0 2.0\n")).downbeats.tolist() == [
        0.5
    ]
    assert read_reference(
        write(tmp_path, "b.txt", "0.5 1.1\n1.0 1.2\n1.5 2.1")
    ).downbeats.tolist() == [0.5, 1.5]


def test_harmonix_sections_end_where_the_next_begins(tmp_path):
    found = read_reference(write(tmp_path, "a.txt", "0.0 intro\n10.25 verse\n20 end\n"))
    assert spans(found) == [(0.0, 10.25, "intro"), (10.25, 20.0, "verse")]
    assert found.beats is None


def test_sections_without_an_end_are_refused(tmp_path):
    with pytest.raises(InputError, match="no end"):
        read_reference(write(tmp_path, "a.txt", "0.0 intro\n10.25 verse\n"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.lab", "0.0\t4.0\tverse one\n4.0\t8.0\tchorus\n"),
        ("a.lab", "0.0 4.0 verse one\n4.0 8.0 chorus\n"),
        ("a.csv", 'start,end,label\n0,4,verse one\n4,8,"chorus"\n'),
        ("a.tsv", "0\t4\tverse one\n4\t8\tchorus\n"),
    ],
)
def test_lab_and_tables_give_sections(tmp_path, name, text):
    assert spans(read_reference(write(tmp_path, name, text))) == [
        (0, 4, "verse one"),
        (4, 8, "chorus"),
    ]


def observation(time, value, duration=0.0):
    return {"time": time, "duration": duration, "value": value, "confidence": None}


def jams(*annotations):
    return json.dumps(
        {"annotations": [{"namespace": n, "data": d} for n, d in annotations], "file_metadata": {}}
    )


def test_jams_gives_beats_downbeats_and_sections(tmp_path):
    text = jams(
        ("beat", [observation(1.0, 2), observation(0.5, 1)]),
        ("segment_open", [observation(0, "verse", 4), observation(4, "chorus", 4)]),
    )
    found = read_reference(write(tmp_path, "a.jams", text))
    assert found.beats.tolist() == [0.5, 1.0]
    assert found.downbeats.tolist() == [0.5]
    assert spans(found) == [(0, 4, "verse"), (4, 8, "chorus")]


def test_jams_positions_levels_and_dense_observations(tmp_path):
    place = {"position": 1, "num_beats": 4, "beat_units": 4, "measure": 1}
    levels = [
        observation(0, {"label": "a", "level": 1}, 2),
        observation(0, {"label": "verse", "level": 0}, 4),
    ]
    dense = {"time": [0.5, 1.0], "duration": [0, 0], "value": [1, 2], "confidence": [1, 1]}
    found = read_reference(
        write(
            tmp_path,
            "a.jams",
            jams(("beat_position", [observation(0.25, place)]), ("multi_segment", levels)),
        )
    )
    assert found.downbeats.tolist() == [0.25]
    assert spans(found) == [(0, 4, "verse")]
    assert read_reference(write(tmp_path, "b.jams", jams(("beat", dense)))).beats.tolist() == [
        0.5,
        1.0,
    ]


def test_files_of_one_name_are_read_together(tmp_path):
    write(tmp_path, "song.beats", "0.5\t1\n1.0\t2\n")
    write(tmp_path, "song.lab", "0 4 verse\n")
    found = read_reference(tmp_path / "song")
    np.testing.assert_array_equal(found.beats, [0.5, 1.0])
    assert spans(found) == [(0, 4, "verse")]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.beats", "1.0\t1\n0.5\t2\n"),
        ("a.txt", "0.5\nnonsense\n"),
        ("a.lab", "0.0\t4.0\tverse\n4.0\n"),
        ("a.jams", "{}"),
        ("a.jams", "not json"),
        ("a.jams", jams(("beat", [{"value": 1}]))),
    ],
)
def test_what_cannot_be_understood_is_an_input_error_with_the_path(tmp_path, name, text):
    path = write(tmp_path, name, text)
    with pytest.raises(InputError) as caught:
        read_reference(path)
    assert caught.value.path == str(path)


def test_absent_annotations_are_an_input_error(tmp_path):
    with pytest.raises(InputError, match="no annotations"):
        read_reference(tmp_path / "song")


@pytest.mark.parametrize("kind", ["csv", "tsv"])
def test_a_table_of_both_gives_beats_and_sections(tmp_path, kind):
    rows = [
        ("type", "start", "end", "label", "position"),
        ("segment", "0.0", "8.0", "verse, one", ""),
        ("beat", "0.5", "0.5", "", "4"),
        ("beat", "1.0", "1.0", "", "1"),
    ]
    separator = {"csv": ",", "tsv": "\t"}[kind]
    text = "\n".join(
        separator.join(f'"{cell}"' if "," in cell else cell for cell in row) for row in rows
    )
    found = read_reference(write(tmp_path, f"a.{kind}", text))
    assert found.beats.tolist() == [0.5, 1.0]
    assert found.downbeats.tolist() == [1.0]
    assert spans(found) == [(0.0, 8.0, "verse, one")]


def test_a_result_and_the_truth_of_the_demo_are_references(tmp_path):
    segments = [
        {"start": 0, "end": 2.5, "label": "intro"},
        {"start": 2.5, "end": 4, "label": "end"},
    ]
    content = {"bpm": 120, "beats": [0, 0.5, 1.0], "downbeats": [0.0], "segments": segments}
    found = read_reference(write(tmp_path, "a.json", json.dumps(content)))
    assert (found.beats.tolist(), found.downbeats.tolist()) == ([0.0, 0.5, 1.0], [0.0])
    assert spans(found) == [(0.0, 2.5, "intro"), (2.5, 4.0, "end")]
    found = read_reference(write(tmp_path, "b.json", '{"beats": [1.0], "segments": []}'))
    assert (found.beats.tolist(), found.downbeats, found.segments) == ([1.0], None, None)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        "{",
        '{"beats": []}',
        '{"beats": 3}',
        '{"beats": ["a"]}',
        '{"beats": [2, 1]}',
        '{"segments": [3]}',
        '{"segments": [{"start": 0, "label": "a"}]}',
        '{"segments": [{"start": 1, "end": 1, "label": "a"}]}',
    ],
)
def test_a_json_that_is_no_result_is_an_input_error(tmp_path, text):
    path = write(tmp_path, "a.json", text)
    with pytest.raises(InputError, match="The annotations cannot be read") as caught:
        read_reference(path)
    assert caught.value.path == str(path)


def test_results_in_a_folder_are_not_taken_for_annotations(tmp_path):
    write(tmp_path, "a.json", '{"beats": [1.0]}')
    with pytest.raises(InputError, match="contains no annotations"):
        find_references([tmp_path])
    assert list(find_references([tmp_path / "a.json"])) == ["a"]


def test_a_header_names_the_columns_of_beats(tmp_path):
    found = read_reference(write(tmp_path, "a.csv", "time,position,downbeat\n1.0,4,0\n1.5,1,1\n"))
    assert found.beats.tolist() == [1.0, 1.5]
    assert found.downbeats.tolist() == [1.5]
    assert found.segments is None


def test_point_labels_are_beats(tmp_path):
    found = read_reference(write(tmp_path, "a.txt", "1.000\t1.000\t4\n1.500\t1.500\t1\n"))
    assert found.beats.tolist() == [1.0, 1.5]
    assert found.downbeats.tolist() == [1.5]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("song.txt", "garbage here\n", "line 1 has 'garbage' instead of a time"),
        ("song.txt", "# by hand\n\nno beats\n", "line 3 has 'no' instead of a time"),
        ("song.csv", "type,start,end,label\n", "line 1 has 'type' instead of a time"),
        (
            "song.csv",
            "type,start,end,label\nnote,1,2,x\n",
            "it contains neither beats nor sections",
        ),
        ("song.beats", "", "it contains neither beats nor sections"),
        ("song.jams", '{"annotations": []}', "it contains neither beats nor sections"),
    ],
)
def test_a_file_without_annotations_is_an_error_that_names_it(tmp_path, name, content, reason):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(InputError, match=f"{name}: The annotations cannot be read: {reason}"):
        read_reference(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes")
def test_pipes_and_folders_are_not_taken_for_annotations(tmp_path):
    write(tmp_path, "a.beats", "1.0\n")
    os.mkfifo(tmp_path / "b.beats")
    (tmp_path / "c.beats").mkdir()
    (tmp_path / "d.beats").symlink_to("absent")
    assert sorted(find_references([tmp_path])) == ["a", "d"]
    with pytest.raises(InputError, match="is neither a file nor a folder"):
        find_references([tmp_path / "b.beats"])
    with pytest.raises(InputError, match="No such file"):
        read_references([tmp_path / "d.beats"])
