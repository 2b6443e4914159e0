"""Cursors: where a page of sessions ended, as text."""

from base64 import urlsafe_b64encode
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff_sessions.contract.cursors import Position, read_cursor, write_cursor

moments = st.datetimes(timezones=st.just(UTC))
POSITION = Position(datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=UTC), (7).to_bytes(8))


@given(moments, st.binary(max_size=40))
def test_cursor_is_read_as_it_was_written(created, tie):
    position = Position(created, tie)
    assert read_cursor("store", write_cursor("store", position)) == position


@given(st.text(max_size=50))
def test_text_that_is_not_a_cursor_is_refused(text):
    with pytest.raises(ValueError, match="cursor must be"):
        read_cursor("store", text)


@given(st.binary(max_size=50))
def test_bytes_without_a_checksum_are_refused(content):
    with pytest.raises(ValueError, match="cursor must be"):
        read_cursor("store", urlsafe_b64encode(content).rstrip(b"=").decode())


def test_cursor_of_another_store_is_refused():
    with pytest.raises(ValueError, match="cursor must be"):
        read_cursor("other", write_cursor("store", POSITION))


@pytest.mark.parametrize("spelling", ["{}=", "{}==", " {}", "{}\n", "{}!", "{}.", "{}\u00e9"])
def test_other_spelling_of_a_cursor_is_refused(spelling):
    with pytest.raises(ValueError, match="cursor must be"):
        read_cursor("store", spelling.format(write_cursor("store", POSITION)))


@pytest.mark.parametrize("value", [1, b"AAAA", 2.5, ["A"]])
def test_value_that_is_not_text_is_refused(value):
    with pytest.raises(ValueError, match="cursor must be"):
        read_cursor("store", value)


def test_error_does_not_repeat_the_cursor():
    with pytest.raises(ValueError) as error:
        read_cursor("store", "<script>")
    assert "script" not in str(error.value)
    assert error.value.__cause__ is None
