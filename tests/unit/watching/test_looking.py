"""One look at the sessions of all open pages."""

from dataclasses import replace
from datetime import timedelta
from secrets import token_hex

import pytest
from django.core.cache import cache

from bff_sessions.contract import EndReason, UserSessionsFilter, UserSessionUpdate
from bff_sessions.revocation import notes, revoke_sessions
from bff_sessions.stores import get_store
from bff_sessions.testing import make_session
from bff_sessions.watching import News, NewsKind, looking
from bff_sessions.watching.pages import Page
from tests.support.factories import ago

ENDED = News(NewsKind.SESSION_ENDED)
CHANGED = News(NewsKind.IDENTITY_CHANGED)


@pytest.fixture(autouse=True)
def no_notes(monkeypatch):
    cache.clear()
    monkeypatch.setattr(looking, "_NOTE_PAUSE", 0)


def start(**fields):
    session = make_session(**fields)
    get_store().create_user_session(session)
    return session


def page_of(session):
    return Page(session, lambda news: None)


def look(*pages):
    """Return the news of each page; None if it has none."""
    found = list(looking.look(pages))
    assert len({page for page, _ in found}) == len(found)
    return [dict(found).get(page) for page in pages]


def end(session, reason=EndReason.CODE):
    revoke_sessions(UserSessionsFilter.of_session(session), reason=reason)


def test_live_session_is_no_news(any_store):
    assert look(page_of(start()), page_of(start())) == [None, None]


def test_page_learns_that_its_session_has_ended_and_others_do_not(any_store):
    first, second = start(), start()
    end(first)
    assert look(page_of(first), page_of(second)) == [ENDED, None]


def test_every_page_of_a_session_learns_it(any_store):
    session = start()
    end(session)
    assert look(page_of(session), page_of(session)) == [ENDED, ENDED]


@pytest.mark.parametrize("reason", EndReason)
def test_page_learns_why(any_store, reason):
    session = start()
    end(session, reason)
    expected = reason if notes.read_note(session.key) else None
    assert look(page_of(session)) == [News(NewsKind.SESSION_ENDED, expected)]


def test_note_that_is_late_is_still_read(any_store, monkeypatch):
    session = start()
    end(session)
    late = lambda seconds: notes.write_notes([session.key], EndReason.OPERATOR)  # noqa: E731
    monkeypatch.setattr(looking.time, "sleep", late)
    assert look(page_of(session)) == [News(NewsKind.SESSION_ENDED, EndReason.OPERATOR)]


def test_expired_session_has_ended(any_store):
    session = start()
    page = page_of(session)
    expired = UserSessionUpdate.of(replace(session, expires=ago(seconds=1)))
    get_store().update_user_session(session.key, expired)
    assert look(page) == [ENDED]


def test_session_past_its_absolute_lifetime_has_ended(any_store, settings):
    page = page_of(start(created=ago(hours=2)))
    assert look(page) == [None]
    settings.BFF_SESSIONS = {**settings.BFF_SESSIONS, "ABSOLUTE_LIFETIME": timedelta(hours=1)}
    # The in-memory stores begin anew with other settings.
    get_store().create_user_session(replace(page.session, key=token_hex(32), ticket=b"t"))
    assert look(page) == [ENDED]


def test_moved_session_is_no_news(any_store):
    session = start()
    page = page_of(session)
    moved = replace(session, key=token_hex(32))
    get_store().rekey_user_session(session.key, moved, if_version=1)
    assert look(page) == [None]
    assert page.session.key == moved.key
    assert page.session.ticket == b""
    end(moved)
    assert look(page) == [ENDED]


def test_session_that_is_moving_is_no_news(settings):
    settings.BFF_SESSIONS = {"STORE": "tests.support.minimal.MinimalStore"}
    session = start()
    page = page_of(session)
    seen = []
    store = get_store()
    delete = store.delete_user_session

    def look_and_delete(key, **kwargs):
        seen.append(look(page))
        deleted = delete(key, **kwargs)
        seen.append(look(page))
        return deleted

    store.delete_user_session = look_and_delete
    moved = replace(session, key=token_hex(32))
    store.rekey_user_session(session.key, moved, if_version=1)
    assert seen == [[None], [None]]
    assert look(page) == [None]
    assert page.session.key == moved.key


def test_other_sign_in_of_the_same_provider_session_is_not_followed(any_store):
    session = start()
    page = page_of(session)
    end(session)
    start(session_id=session.session_id)
    assert look(page) == [ENDED]


@pytest.mark.parametrize(
    "identity",
    [{"subject_id": "bob"}, {"issuer": "https://other.example"}, {"user_id": "43"}],
    ids=lambda each: next(iter(each)),
)
def test_page_learns_that_another_identity_has_the_session(any_store, identity):
    session = start()
    page = page_of(session)
    update = UserSessionUpdate.of(replace(session, **identity))
    get_store().update_user_session(session.key, update)
    assert look(page) == [CHANGED]


def test_save_renewal_and_new_sign_in_of_the_same_user_are_no_news(any_store):
    session = start()
    page = page_of(session)
    changed = replace(session, ticket=b"new", renewed=ago(seconds=0), sign_in_id=token_hex(16))
    get_store().update_user_session(session.key, UserSessionUpdate.of(changed))
    assert look(page) == [None]
    assert page.session.sign_in_id == changed.sign_in_id


def test_thousand_pages_are_one_statement(transactional_db, django_assert_num_queries):
    sessions = [start() for _ in range(20)]
    pages = [page_of(sessions[number % 20]) for number in range(1_000)]
    with django_assert_num_queries(1):
        assert set(look(*pages)) == {None}


def test_mass_revocation_with_a_reason_is_one_statement(
    transactional_db, django_assert_num_queries
):
    sessions = [start() for _ in range(20)]
    revoke_sessions(UserSessionsFilter(subject_id="alice"), reason=EndReason.OPERATOR)
    with django_assert_num_queries(1):
        news = look(*map(page_of, sessions))
    assert set(news) == {News(NewsKind.SESSION_ENDED, EndReason.OPERATOR)}


def test_first_pages_do_not_wait_for_a_search_for_all_sessions(
    transactional_db, monkeypatch, django_assert_num_queries
):
    monkeypatch.setattr(looking, "_MOST_MISSING", 2)
    pages = [page_of(start()) for _ in range(5)]
    revoke_sessions(UserSessionsFilter(subject_id="alice"))
    told = looking.look(pages)
    with django_assert_num_queries(1 + 2):
        first = next(told)
    assert {page for page, _ in [first, *told]} == set(pages)


def test_cache_that_fails_costs_the_reason_only(transactional_db, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError

    session = start()
    end(session, EndReason.OPERATOR)
    monkeypatch.setattr(notes.cache, "get_many", fail)
    assert look(page_of(session)) == [ENDED]


def test_anonymous_session_cannot_be_watched():
    with pytest.raises(ValueError, match="signed-in user"):
        page_of(make_session(subject_id=None, session_id=None, user_id=None, issuer=None))
