"""Bounds for the streams of GET events."""

import gc

from bff_sessions.views.places import Places


def test_each_name_has_its_own_places():
    places = Places()
    taken = [places.take("a", 2), places.take("a", 2), places.take("b", 2)]
    assert None not in taken
    assert places.take("a", 2) is None
    assert places.take("b", 2) is not None


def test_place_can_be_taken_again_after_its_stream_has_left():
    places = Places()
    first = places.take("a", 1)
    # Twice: the end of a stream and the end of its response leave the same place.
    first.leave()
    first.leave()
    second = places.take("a", 1)
    assert second is not None
    first.leave()
    assert places.take("a", 1) is None


def test_place_of_a_stream_that_is_garbage_is_free():
    places = Places()
    stream = {"place": places.take("a", 1)}
    stream["cycle"] = stream
    assert places.take("a", 1) is None
    del stream
    gc.collect()
    assert places.take("a", 1) is not None


def test_name_is_forgotten_with_its_last_place():
    places = Places()
    place = places.take("a", 1)
    assert list(places._taken) == ["a"]
    del place
    assert list(places._taken) == []


def test_without_places_none_can_be_taken():
    assert Places().take("a", 0) is None
