import traceback

import pytest

from bff_sessions.secret import Secret, hide_frames

SEEDED = "seeded-secret"


def fail(value):
    local = value
    raise ValueError(f"{len(local)} characters")


def fail_again(value):
    try:
        fail(value)
    except ValueError as error:
        raise KeyError("again") from error


def guarded(secret):
    try:
        fail_again(secret.reveal())
    except KeyError as error:
        hide_frames(error)
        raise


def walk(error):
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def named(error):
    return [line.split(" in ")[1] for line in error.__notes__[0].splitlines()[1:]]


def test_secret_has_no_repr():
    assert SEEDED not in f"{Secret(SEEDED)!r} {Secret(SEEDED)}"
    assert Secret(SEEDED).reveal() == SEEDED


def test_hidden_frames_leave_no_variables():
    with pytest.raises(KeyError) as caught:
        guarded(Secret(SEEDED))
    frames = [
        frame for error in walk(caught.value) for frame, _ in traceback.walk_tb(error.__traceback__)
    ]
    assert [frame.f_code.co_name for frame in frames] == ["test_hidden_frames_leave_no_variables"]


def test_hidden_frames_are_named_in_a_note():
    with pytest.raises(KeyError) as caught:
        guarded(Secret(SEEDED))
    outer, inner = walk(caught.value)
    assert named(outer) == ["guarded", "fail_again"]
    assert named(inner) == ["fail_again", "fail"]


def test_error_handled_before_keeps_its_frames():
    def view():
        try:
            raise LookupError
        except LookupError:
            guarded(Secret(SEEDED))

    with pytest.raises(KeyError) as caught:
        view()
    errors = list(walk(caught.value))
    assert [type(error) for error in errors] == [KeyError, ValueError, LookupError]
    frames = [frame.f_code.co_name for frame, _ in traceback.walk_tb(errors[2].__traceback__)]
    assert frames == ["view"]
    assert not hasattr(errors[2], "__notes__")


def test_errors_that_refer_to_each_other_end():
    first, second = ValueError(), KeyError()
    first.__context__, second.__context__ = second, first
    hide_frames(first)
