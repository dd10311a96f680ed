import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest

from onepass_training.data.item_embeddings import UPSTREAM
from onepass_training.data.movielens import convert, is_movielens
from onepass_training.data.open import open_dataset

FIXTURES = Path(__file__).parent / "fixtures"
FORMS = ["ml-100k", "ml-1m", "ml-25m"]


@pytest.fixture
def copy(tmp_path):
    """A folder of its own to break."""

    def of(form):
        return Path(shutil.copytree(FIXTURES / form, tmp_path / form))

    return of


def rows(folder, name):
    return parquet.read_table(folder / f"{name}.parquet").to_pylist()


@pytest.mark.parametrize("form", FORMS)
def test_each_form_becomes_a_folder_of_logs(form, tmp_path):
    assert is_movielens(FIXTURES / form)
    convert(FIXTURES / form, tmp_path / "out")
    description = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert description["name"] == form
    assert description["embeddings"] == "content+behaviour"
    assert {action["name"]: action["negative"] for action in description["actions"]} == {
        "watch": False, "like": False, "dislike": True,
    }  # fmt: skip
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["dataset.json", "events.parquet", "items.parquet"]


@pytest.mark.parametrize("form", FORMS)
def test_ratings_become_actions(form, tmp_path):
    convert(FIXTURES / form, tmp_path / "out")
    events = rows(tmp_path / "out", "events")
    assert len(events) == 680
    first = {"person": "1", "item_id": "40", "actions": ["watch", "like"], "surface": "home", "time_ms": 1_700_132_445_000}
    assert first in events  # 1::40::4::1700132445 or 5 stars
    assert {tuple(event["actions"]) for event in events} == {("watch",), ("watch", "like"), ("watch", "dislike")}


def test_the_three_forms_say_the_same(tmp_path):
    for form in FORMS:
        convert(FIXTURES / form, tmp_path / form)
    items = [rows(tmp_path / form, "items") for form in FORMS]
    events = [sorted(map(str, rows(tmp_path / form, "events"))) for form in FORMS]
    assert items[0] == items[1] == items[2]
    assert events[0] == events[1] == events[2]


def test_items_have_titles_years_and_genres(tmp_path):
    convert(FIXTURES / "ml-25m", tmp_path / "out")
    items = {item["item_id"]: item for item in rows(tmp_path / "out", "items")}
    assert items["4"]["title"] == 'Glass Picnic, The: A "Farce"'
    assert json.loads(items["4"]["attributes"]) == {"genres": ["Comedy"], "year": 1988}
    assert items["8"]["title"] == "Café Été"
    assert (items["41"]["title"], json.loads(items["41"]["attributes"]), items["41"]["born_ms"]) == ("Untold", {}, 0)
    times = [event["time_ms"] for event in rows(tmp_path / "out", "events") if event["item_id"] == "4"]
    assert items["4"]["born_ms"] == min(times)


def test_half_stars_of_the_newer_sets(copy, tmp_path):
    folder = copy("ml-25m")
    (folder / "ratings.csv").write_text(
        "userId,movieId,rating,timestamp\n1,1,3.5,1000\n1,2,4.0,1001\n1,3,2.5,1002\n1,4,2.0,1003\n1,5,.5,1004\n"
    )
    convert(folder, tmp_path / "out")
    done = [event["actions"][1:] for event in rows(tmp_path / "out", "events")]
    assert done == [[], ["like"], [], ["dislike"], ["dislike"]]


@pytest.mark.parametrize(
    ("form", "file", "line", "text", "problem"),
    [
        ("ml-1m", "ratings.dat", 7, "1::5::4", "ratings.dat, line 7: has 3 columns, must have 4: 1::5::4"),
        ("ml-1m", "ratings.dat", 9, "1::5::good::1", "ratings.dat, line 9, rating: is 'good', must be a number"),
        ("ml-1m", "ratings.dat", 4, "1::999::5::1", "ratings.dat, line 4, movieId: 999 is not in movies.dat"),
        ("ml-1m", "movies.dat", 3, "3::No genres (1980)", "movies.dat, line 3: has 2 columns, must have 3"),
        ("ml-1m", "movies.dat", 5, "2::Again (1980)::Drama", "movies.dat, line 5: movie 2 is there already, in line 2"),
        ("ml-100k", "u.data", 680, "1\t5\t9\t1", "u.data, line 680, rating: is 9, must be above 0 and at most 5"),
        ("ml-100k", "u.data", 1, "1\t5\t3\t-1", "u.data, line 1, timestamp: is -1, must be in seconds since 1970"),
        ("ml-100k", "u.data", 2, "\t5\t3\t1", "u.data, line 2, userId: is '', must be a whole number"),
        ("ml-100k", "u.item", 1, "1|Short", "u.item, line 1: has 2 columns, must have 24"),
        ("ml-25m", "ratings.csv", 1, "user,item", "ratings.csv, line 1: the columns are user,item, must be userId,"),
        ("ml-25m", "ratings.csv", 3, "1,2,3.0,0", "ratings.csv, line 3, timestamp: is 0, must be in seconds since 1970"),
        ("ml-25m", "ratings.csv", 3, "1,2,nan,7", "ratings.csv, line 3, rating: is 'nan', must be a number"),
        ("ml-25m", "movies.csv", 2, '1,"Open, Comedy', "movies.csv, line 2: unexpected end of data"),
        ("ml-25m", "movies.csv", 2, "one,Title,Comedy", "movies.csv, line 2: the movie's id is 'one', must be a whole number"),
    ],
)  # fmt: skip
def test_an_error_names_file_and_line_and_leaves_nothing(form, file, line, text, problem, copy, tmp_path):
    folder = copy(form)
    lines = (folder / file).read_bytes().split(b"\n")
    lines[line - 1] = text.encode()
    (folder / file).write_bytes(b"\n".join(lines))
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        convert(folder, tmp_path / "out")
    assert problem in str(caught.value)
    assert str(folder / file) in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == [form]


def test_lines_are_counted_with_empty_ones(copy, tmp_path):
    folder = copy("ml-1m")
    (folder / "ratings.dat").write_text("1::5::4::1000\n\n\r\n1::6::4::1000\n1::777::4::1000\n")
    with pytest.raises(ValueError, match=r"ratings\.dat, line 5, movieId: 777"):
        convert(folder, tmp_path / "out")


@pytest.mark.parametrize(("form", "file"), [("ml-100k", "u.data"), ("ml-1m", "ratings.dat"), ("ml-25m", "ratings.csv")])
def test_a_set_without_ratings(form, file, copy, tmp_path):
    folder = copy(form)
    (folder / file).write_text("userId,movieId,rating,timestamp\n" if form == "ml-25m" else "")
    with pytest.raises(ValueError, match=f"{file} holds no rating"):
        convert(folder, tmp_path / "out")


def test_a_missing_catalogue_is_named(copy, tmp_path):
    folder = copy("ml-25m")
    (folder / "movies.csv").unlink()
    assert is_movielens(folder)
    with pytest.raises(FileNotFoundError, match=r"movies\.csv is missing"):
        convert(folder, tmp_path / "out")


def test_other_folders_are_no_movielens(tmp_path):
    assert not is_movielens(tmp_path)
    assert not is_movielens(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="no MovieLens data set"):
        convert(tmp_path, tmp_path / "out")


def test_only_a_folder_of_logs_is_replaced(tmp_path):
    convert(FIXTURES / "ml-1m", tmp_path / "out")
    convert(FIXTURES / "ml-100k", tmp_path / "out")
    assert json.loads((tmp_path / "out" / "dataset.json").read_text())["name"] == "ml-100k"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(FileExistsError, match="is there already"):
        convert(FIXTURES / "ml-1m", tmp_path / "mine")
    assert (tmp_path / "mine" / "letter.txt").exists()


def test_a_set_opens_as_a_dataset_with_pages_and_embeddings(tmp_path):
    dataset = open_dataset(FIXTURES / "ml-100k", tmp_path / "run", say=lambda line: None)
    assert (dataset.name, dataset.vocabulary.names, dataset.vocabulary.surfaces) == (
        "ml-100k", ("watch", "like", "dislike"), ("home",)
    )  # fmt: skip
    assert (dataset.items.upstream.shape, dataset.items.content) == ((41, UPSTREAM), 64)
    assert dataset.items.upstream[:40].any(axis=1).all()
    bucket = dataset.bucket(0)
    assert len(bucket.event_item) == 680
    watched = np.bincount(bucket.shown_slate, bucket.shown_actions > 0)
    assert watched.max() <= 12
    assert (np.diff(bucket.shown_start) <= 2 * watched).all(), "at most one drawn beside each"
    assert (np.diff(bucket.event_time_ms)[np.diff(bucket.event_history) == 0] >= 0).all()


def test_ratings_after_validation_change_no_embedding(copy, tmp_path):
    folder = copy("ml-1m")
    before = open_dataset(folder, tmp_path / "before", say=lambda line: None)
    validation_s = before.splits.validation_ms / 1_000
    lines = [line.split("::") for line in (folder / "ratings.dat").read_text().splitlines()]
    later = [line for line in lines if int(line[3]) >= validation_s]
    assert 50 < len(later) < 300
    for line in later:
        line[1:3] = "7", "1"
    (folder / "ratings.dat").write_text("".join("::".join(line) + "\n" for line in lines))
    after = open_dataset(folder, tmp_path / "after", say=lambda line: None)
    assert after.splits == before.splits
    np.testing.assert_array_equal(after.items.upstream, before.items.upstream)
