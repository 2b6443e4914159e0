import asyncio
import inspect
import sys
import traceback

import pytest

from bff_sessions.secret import Secret, hidden_frames, hide_frames

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
    handled = sys.exception()
    try:
        fail_again(secret.reveal())
    except KeyError as error:
        hide_frames(error, handled=handled)
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


# Doors


@hidden_frames()
def door(secret):
    fail_again(secret.reveal())


def door_with_block(secret):
    value = secret.reveal()
    with hidden_frames():
        fail(value)


@hidden_frames()
async def async_door(secret):
    await asyncio.sleep(0)
    fail_again(secret.reveal())


async def async_door_with_block(secret):
    value = secret.reveal()
    await asyncio.sleep(0)
    with hidden_frames():
        fail(value)


def frames_of(error):
    return [
        frame.f_code.co_name
        for one in walk(error)
        for frame, _ in traceback.walk_tb(one.__traceback__)
    ]


@pytest.mark.parametrize("function", [door, door_with_block])
def test_door_hides_itself_and_what_it_calls(function):
    with pytest.raises((KeyError, ValueError)) as caught:
        function(Secret(SEEDED))
    assert frames_of(caught.value) == ["test_door_hides_itself_and_what_it_calls"]
    assert SEEDED not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("function", [async_door, async_door_with_block])
def test_asynchronous_door_hides_itself_and_what_it_calls(function):
    async def caller():
        await function(Secret(SEEDED))

    with pytest.raises((KeyError, ValueError)) as caught:
        asyncio.run(caller())
    names = frames_of(caught.value)
    assert "caller" in names
    assert not {"fail", "fail_again", "acall", "async_door", "async_door_with_block"} & {*names}


def test_door_passes_arguments_results_and_metadata_on():
    @hidden_frames()
    def add(first, *, second):
        """Return the sum."""
        return first + second

    assert add(1, second=2) == 3
    assert (add.__name__, add.__doc__) == ("add", "Return the sum.")
    assert inspect.iscoroutinefunction(async_door)
    assert not inspect.iscoroutinefunction(door)


def test_error_that_is_being_handled_keeps_its_frames():
    """The project's own, in whose ``except`` clause a door is called."""

    def project():
        fail("not a secret")

    try:
        project()
    except ValueError as handled:
        with pytest.raises(KeyError) as caught:
            door(Secret(SEEDED))
        assert caught.value.__cause__ is not handled
        assert "project" in frames_of(handled)
        assert not hasattr(handled, "__notes__")


def test_cause_and_context_are_hidden_both():
    with pytest.raises(KeyError) as caught, hidden_frames():
        try:
            fail(SEEDED)
        except ValueError:
            raise KeyError("again") from TypeError()
    assert caught.value.__context__.__traceback__ is None


def test_errors_in_a_group_are_hidden():
    @hidden_frames()
    def fail_together():
        try:
            fail(SEEDED)
        except ValueError as error:
            raise ExceptionGroup("both", [error]) from None

    with pytest.raises(ExceptionGroup) as caught:
        fail_together()
    (inner,) = caught.value.exceptions
    assert inner.__traceback__ is None
    assert named(inner)[-1] == "fail"


def test_same_error_raised_again_hides_its_frames():
    shared = ValueError("shared")

    def raise_again(secret):
        value = secret.reveal()
        if value:
            raise shared

    @hidden_frames()
    def door_of_it(secret):
        raise_again(secret)

    with pytest.raises(ValueError, match="shared") as caught:
        try:
            raise shared
        except ValueError:
            door_of_it(Secret(SEEDED))
    assert "raise_again" not in frames_of(caught.value)


def test_cause_of_an_error_that_was_handled_before_keeps_its_frames():
    def project():
        raise LookupError

    @hidden_frames()
    def door_of_it(secret, cause):
        raise KeyError("again") from cause

    with pytest.raises(KeyError) as caught:
        try:
            try:
                project()
            except LookupError as cause:
                raise ValueError("project") from cause
        except ValueError as handled:
            door_of_it(Secret(SEEDED), handled.__cause__)
    assert "project" in frames_of(caught.value.__cause__)
