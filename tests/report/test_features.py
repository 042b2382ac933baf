import datasets
import pytest

from synthgen.report.features import as_dict, as_yaml, features, large_columns, written_as

ROWS = [
    {"a": "x", "b": 1, "c": None, "d": ["p"], "e": [{"k": 1}], "f": {"n": True}},
    {"a": "y", "b": 0.5, "c": None, "d": [], "e": [{"k": 2, "j": "z"}], "f": {"n": None}},
]


def test_features_are_written_in_both_forms_that_datasets_reads() -> None:
    columns = features(ROWS, ["f", "a"])
    assert columns is not None
    expected = datasets.Features(
        {
            "f": {"n": datasets.Value("bool")},
            "a": datasets.Value("string"),
            "b": datasets.Value("float64"),
            "c": datasets.Value("string"),
            "d": datasets.List(datasets.Value("string")),
            "e": datasets.List({"k": datasets.Value("int64"), "j": datasets.Value("string")}),
        }
    )
    assert datasets.Features.from_dict(as_dict(columns)) == expected
    assert datasets.Features._from_yaml_list(as_yaml(columns)) == expected
    assert list(columns) == ["f", "a", "b", "c", "d", "e"]


def test_features_of_lists_of_lists_are_written_in_both_forms_too() -> None:
    columns = features([{"m": [[1, 2], [3]]}], ["m"])
    assert columns is not None
    expected = datasets.Features({"m": datasets.List(datasets.List(datasets.Value("int64")))})
    assert datasets.Features.from_dict(as_dict(columns)) == expected
    assert datasets.Features._from_yaml_list(as_yaml(columns)) == expected


def test_a_column_that_no_row_has_is_not_declared() -> None:
    assert features([{"a": 1}], ["a", "b"]) == {"a": "int64"}


@pytest.mark.parametrize("values", [("x", 1), ({"k": 1}, [1]), ([1], ["x"]), (True, 1), ({}, {})])
def test_a_mixed_column_is_left_to_the_loader(values: tuple[object, object]) -> None:
    assert features([{"a": value} for value in values], ["a"]) is None


def test_integers_past_64_bits_are_text_in_parquet_and_floats_to_who_loads_json_lines() -> None:
    columns = features([{"n": 1, "m": [{"k": 2**64}]}, {"n": -(2**63) - 1, "m": []}, {"x": 2**70}, {"x": 0.5}], [])
    assert columns is not None
    assert large_columns(columns) == ["n", "m"]
    assert written_as(columns, "parquet") == {"n": "string", "m": {"list": {"struct": {"k": "string"}}}, "x": "float64"}
    assert written_as(columns, "jsonl") == {"n": "float64", "m": {"list": {"struct": {"k": "float64"}}}, "x": "float64"}
