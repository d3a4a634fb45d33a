import pyarrow as pa
import pytest

from tickplant.model.events import HEADER, INCOMING, SCHEMAS, TABLES, Flag, flag_names


def test_every_table_begins_with_the_same_columns() -> None:
    assert set(SCHEMAS) == set(TABLES)
    for schema in SCHEMAS.values():
        assert list(schema)[: len(HEADER)] == list(HEADER)


@pytest.mark.parametrize("table", INCOMING)
def test_producers_may_leave_out_anything_and_types_agree_with_what_is_stored(table: str) -> None:
    for field in INCOMING[table]:
        assert field.nullable, field.name
        if field.name in SCHEMAS[table].names:
            assert SCHEMAS[table].field(field.name).type == field.type
    added = set(INCOMING[table].names) - set(SCHEMAS[table].names)
    assert added == {"symbol", "venue", "key"}
    assert INCOMING[table].field("key").type == pa.binary()


def test_flags_have_names_in_the_order_of_their_bits() -> None:
    assert flag_names(0) == []
    assert flag_names(Flag.CANCEL | Flag.SYNTHETIC) == ["synthetic", "cancel"]
    assert flag_names(sum(Flag)) == [
        "synthetic", "backfilled", "late", "correction", "cancel", "snapshot",
    ]  # fmt: skip
    assert len({int(flag) for flag in Flag}) == len(Flag)
