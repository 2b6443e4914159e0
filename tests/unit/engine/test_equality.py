"""Values of session data that are the same, and values that only Python takes for equal."""

import math
import pickle
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from types import SimpleNamespace
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bff_sessions.engine.equality import is_same

generated = hypothesis_settings(database=None, deadline=None)


class Basket:
    """Equal to itself only, as most classes are."""

    def __init__(self, *items):
        self.items = list(items)


@dataclass(frozen=True)
class Point:
    x: float


class Refuses:
    """Can be neither copied nor compared, as some arrays of other libraries."""

    def __reduce_ex__(self, protocol):
        raise TypeError

    def __eq__(self, other):
        raise ValueError

    __hash__ = None


class Named:
    """Copied by the name of a variable."""

    def __init__(self, name):
        self.name = name

    def __reduce__(self):
        return self.name


class Uncopied:
    def __init__(self, name):
        self.name = name

    def __reduce_ex__(self, protocol):
        raise TypeError

    def __eq__(self, other):
        return self.name == other.name

    __hash__ = None


def nested(depth, leaf):
    for _ in range(depth):
        leaf = {"a": [leaf]}
    return leaf


def ring(name):
    """Return a list and a dictionary that hold each other."""
    one = [name]
    one.append({"back": one})
    return one


NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        [1, 1.5, True, None, "text", b"bytes", 2j],
        {"a": {"b": [math.nan]}},
        {1: "a", "1": "b", (1, 2): "c"},
        {1, "a", (2, 3), frozenset({4})},
        {math.nan, 1},
        {(math.nan, 1), (math.nan, 2)},
        frozenset({Point(math.nan)}),
        (1, (2, 3)),
        Decimal("1.0"),
        UUID(int=1),
        NOON,
        date(2030, 1, 1),
        timedelta(1),
        OrderedDict(a=1, b=[2]),
        Basket(1, {2}),
        {"user": User(pk=1, username="alice")},
        nested(50, {math.nan}),
        ring("a"),
        int,
    ],
    ids=lambda value: type(value).__name__,
)
def test_copy_of_a_value_is_the_same(value):
    assert is_same(value, pickle.loads(pickle.dumps(value)))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (1, 1.0),
        (0.0, -0.0),
        (None, False),
        ("a", b"a"),
        ([1], [1, 1]),
        ([1], (1,)),
        ([1], [True]),
        ({"a": 1}, {"a": 1.0}),
        ({"a": 1}, {"a": 1, "b": 1}),
        ({1: "a"}, {True: "a"}),
        ({1}, {True}),
        ({1}, {1, 2}),
        ({math.nan}, {math.nan, 1}),
        ({Point(math.nan)}, {Point(math.inf)}),
        ({1}, frozenset({1})),
        (Decimal("1.0"), Decimal("1.00")),
        (NOON, NOON.astimezone(timezone(timedelta(hours=1)))),
        (OrderedDict(a=1, b=2), OrderedDict(b=2, a=1)),
        (Basket(1), Basket(True)),
        (User(pk=1, username="alice"), User(pk=1, username="bob")),
        (nested(5000, 1), nested(5000, True)),
        (ring("a"), ring("b")),
        (Refuses(), Refuses()),
        (Named("a"), Named("b")),
        (Uncopied("a"), Uncopied("b")),
        (int, str),
    ],
)
def test_different_values_are_not_the_same(one, other):
    assert not is_same(one, other)
    assert not is_same(other, one)


def test_order_of_keys_does_not_count():
    assert is_same({"a": 1, "b": 2}, {"b": 2, "a": 1})


def test_values_that_cannot_be_copied_are_compared():
    assert is_same(Uncopied("a"), Uncopied("a"))


def test_value_of_changed_instance_is_not_the_same():
    one = SimpleNamespace(items=[1])
    other = pickle.loads(pickle.dumps(one))
    other.items.append(2)
    assert not is_same(one, other)


scalars = st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from([0.0, 1.0, math.nan, ""])
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from("ab"), inner)
)


@generated
@given(values, values)
def test_values_are_the_same_if_their_text_is(one, other):
    def text(value):
        if isinstance(value, dict):
            return {key: text(value[key]) for key in sorted(value)}.__repr__()
        return [text(part) for part in value].__repr__() if isinstance(value, list) else repr(value)

    assert is_same(one, other) == (text(one) == text(other))
