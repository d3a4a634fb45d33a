import inspect
import re

from tickplant.model import errors
from tickplant.model.errors import InvalidParameter, TickplantError, UserError, shorten


def test_the_tree_at_the_head_of_the_file_is_the_tree() -> None:
    drawn = set(re.findall(r"[├└]── (\w+)", errors.__doc__ or "")) | {"TickplantError"}
    classes = inspect.getmembers(errors, inspect.isclass)
    defined = {name for name, cls in classes if issubclass(cls, TickplantError)}
    assert drawn == defined


def test_the_status_in_the_drawing_is_the_status_of_the_class() -> None:
    drawn = re.findall(r"[├└]── (\w+)\s+(\d{3}):", errors.__doc__ or "")
    assert len(drawn) >= 5
    for name, status in drawn:
        assert getattr(errors, name).status == int(status), name


def test_a_bad_parameter_is_named_with_its_value_and_what_is_allowed() -> None:
    fault = InvalidParameter("limit", 0, "1 to 10000")
    assert str(fault) == "limit: 0 is not allowed; allowed is 1 to 10000"
    assert fault.complaints[0].loc == ("query", "limit")
    assert fault.status == UserError.status == 400


def test_long_values_are_cut_to_what_a_line_can_hold() -> None:
    fault = InvalidParameter("symbol", "x" * 100_000, "a symbol")
    assert len(str(fault)) < 200
    assert len(shorten("x" * 100_000)) == 80
    assert shorten("x" * 80) == "x" * 80
