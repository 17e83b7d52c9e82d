from __future__ import annotations

import pytest

from quire_runtime.dbutils.widgets import InputWidgetNotDefined, Widgets
from quire_runtime.session import Session


def make_widgets(**parameters: object) -> Widgets:
    return Widgets(Session({"parameters": parameters}))


def test_defaults() -> None:
    widgets = make_widgets()
    widgets.text("t", "a", "Label")
    widgets.dropdown("d", "x", ["x", "y"])
    widgets.combobox("c", "free", ["x", "y"], label="C")
    widgets.multiselect("m", "y", ["x", "y"])
    assert widgets.getAll() == {"t": "a", "d": "x", "c": "free", "m": "y"}


def test_a_run_parameter_wins_with_and_without_a_widget() -> None:
    widgets = make_widgets(t="passed")
    assert widgets.get("t") == "passed"
    widgets.text("t", "default")
    assert widgets.get("t") == "passed"
    widgets.remove("t")
    widgets.remove("t")
    assert widgets.get("t") == "passed"
    assert widgets.getAll() == {"t": "passed"}


@pytest.mark.parametrize(
    ("value", "text"),
    [("a", "a"), (1, "1"), (2.5, "2.5"), (True, "true"), (None, "null"), (["é"], '["é"]')],
)
def test_values_are_text(value: object, text: str) -> None:
    assert make_widgets(p=value).get("p") == text


def test_an_unknown_name_is_an_error() -> None:
    widgets = make_widgets()
    for get in (widgets.get, widgets.getArgument, widgets.remove):
        with pytest.raises(InputWidgetNotDefined) as caught:
            get("nope")
        assert "InputWidgetNotDefined" in str(caught.value)
        assert "No input widget named nope is defined" in str(caught.value)
    assert widgets.getArgument("nope", "other") == "other"


def test_a_widget_made_again_keeps_its_value_until_it_is_removed() -> None:
    widgets = make_widgets()
    widgets.text("t", "first")
    widgets.text("t", "second")
    assert widgets.get("t") == "first"
    widgets.remove("t")
    widgets.text("t", "third")
    assert widgets.get("t") == "third"
    widgets.removeAll()
    assert widgets.getAll() == {}


def test_what_a_definition_must_keep_to() -> None:
    widgets = make_widgets()
    for make in (widgets.dropdown, widgets.multiselect):
        with pytest.raises(ValueError, match="'z' of widget n is not among its choices"):
            make("n", "z", ["x", "y"])
    many = [str(number) for number in range(1025)]
    for choose in (widgets.dropdown, widgets.multiselect, widgets.combobox):
        with pytest.raises(ValueError, match="1025 choices; at most 1024"):
            choose("n", "1", many)
        with pytest.raises(TypeError, match="list of strings"):
            choose("n", "1", [1, 2])  # type: ignore[list-item]
        choose(choose.__name__, "1", many[:1024])
    with pytest.raises(TypeError, match="must be a string, not int"):
        widgets.text("n", 1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="cannot be empty"):
        widgets.text("", "a")
    with pytest.raises(InputWidgetNotDefined):
        widgets.get("n")


def test_arguments_of_an_inlined_notebook_win_and_stay_with_what_it_defines() -> None:
    session = Session({"parameters": {"p": "run"}})
    widgets = Widgets(session)
    with session.inlining("/x", "python", {"p": "inner", "q": "1"}):
        assert widgets.get("p") == "inner"
        widgets.text("q", "default")
    assert widgets.get("p") == "run"
    assert widgets.get("q") == "1"
