"""The list of sessions in the admin: its pages, filters and search."""

import re

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.core.paginator import Paginator
from django.db import connection
from django.test.utils import CaptureQueriesContext

from bff_sessions.models import Session
from tests.support.admin import LIST, browser_of, found_by, page_of, walk
from tests.support.factories import SessionFactory, UserFactory, ago

pytestmark = pytest.mark.django_db

# Session and user of the request, the partitions of the filter, the sessions, their users, and the
# content types of the sidebar's models.
LIST_STATEMENTS = 5


# Pages


@pytest.mark.parametrize("state", ["live", "expired"])
def test_pages_show_each_session_once_and_in_order(operator, small_pages, state):
    Session.objects.all().delete()
    operator.force_login(UserFactory(admin=True))
    moment = ago(hours=3)
    ages = [moment, moment, moment, ago(hours=5), ago(hours=1), moment, ago(hours=4)]
    expired = {"expires": moment} if state == "expired" else {}
    rows = [SessionFactory(created=created, **expired) for created in ages]
    name = "expires" if expired else "created"
    shown = [row for page in walk(operator, state=state) for row in page if row in rows]
    assert shown == sorted(rows, key=lambda row: (getattr(row, name), row.pk), reverse=True)


def test_session_that_ends_between_two_pages_hides_no_other(operator, small_pages):
    rows = SessionFactory.create_batch(6)
    pages = walk(operator, q="alice")
    first = next(pages)
    Session.objects.filter(pk=first[0].pk).delete()
    rest = [row for page in pages for row in page]
    assert {*first, *rest} == set(rows)


def test_pages_keep_search_and_filters(operator, small_pages):
    mine = SessionFactory.create_batch(5, partition="a b&c")
    SessionFactory.create_batch(3)
    SessionFactory.create_batch(3, partition="a b&c", subject_id="bob")
    pages = list(walk(operator, q="alice", partition="a b&c"))
    assert [len(page) for page in pages] == [2, 2, 1]
    assert {row for page in pages for row in page} == set(mine)


def test_rare_sessions_are_searched_one_window_at_a_time(operator, small_pages):
    rare = SessionFactory(partition="wiki", created=ago(days=9))
    SessionFactory.create_batch(12)
    with CaptureQueriesContext(connection) as captured:
        pages = list(walk(operator, partition="wiki"))
    assert [len(page) for page in pages] == [0, 0, 1]
    assert pages[-1] == [rare]
    assert not any("OFFSET 6" in query["sql"] for query in captured)
    text = operator.get(LIST, {"partition": "wiki"}).content.decode()
    assert "all matches among 5 sessions" in text
    assert "Search older sessions" in text


def test_window_ends_at_the_chosen_time(operator, small_pages):
    SessionFactory.create_batch(12, created=ago(days=2))
    SessionFactory.create_batch(2, created=ago(minutes=5))
    assert len(list(walk(operator, since="day", partition="wiki"))) == 1


@pytest.mark.parametrize(
    "page", ["", "2", "-", "a-b", "1-", "99999999999999999999-1", "1-99999999999999999999", "-1--1"]
)
def test_malformed_page_is_not_an_error(operator, page):
    SessionFactory()
    assert operator.get(LIST, {"p": page}).status_code == 200


def test_list_uses_neither_count_nor_offset(operator):
    SessionFactory.create_batch(60)
    with CaptureQueriesContext(connection) as captured:
        for query in ({}, {"state": "live"}, {"state": "expired"}, {"since": "day"}):
            operator.get(LIST, query)
    sql = [query["sql"] for query in captured]
    # That of the partitions counts what a LIMIT has bounded.
    counts = [s for s in sql if "COUNT(" in s.upper() and "LIMIT 10000" not in s]
    assert counts == []
    assert not any(re.search(r"LIKE", s, re.IGNORECASE) for s in sql if "bff_sessions" in s)


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"state": "live"},
        {"state": "expired"},
        {"since": "month"},
        {"provider": "with"},
        {"provider": "without"},
        {"provider": "nobody"},
        {"partition": "default"},
        {"q": "alice"},
        {"q": "iss:https://idp.example"},
    ],
    ids=str,
)
def test_number_of_statements_does_not_depend_on_rows(operator, query, django_assert_num_queries):
    def add(number):
        for user in UserFactory.create_batch(number):
            for more in ({}, {"expired": True}, {"issuer": None}, {"endless": True}):
                SessionFactory(user_id=str(user.pk), **more)
            SessionFactory(anonymous=True)

    add(1)
    operator.get(LIST, query)  # Content types are remembered from here on.
    with CaptureQueriesContext(connection) as few:
        operator.get(LIST, query)
    add(6)
    with django_assert_num_queries(len(few)):
        operator.get(LIST, query)


def test_history_page_still_has_a_paginator(operator):
    assert admin.site.get_model_admin(Session).paginator is Paginator
    assert operator.get(page_of(SessionFactory(), "history")).status_code == 200


# Filters


def test_sessions_are_filtered_by_time_of_sign_in(operator):
    ages = {"hour": 0.5, "day": 5, "week": 100, "month": 500, "ever": 800}
    rows = {name: SessionFactory(created=ago(hours=hours)) for name, hours in ages.items()}
    expected = set()
    for name in ("hour", "day", "week", "month"):
        expected.add(rows[name])
        assert found_by(operator, "alice", since=name) == expected
    assert found_by(operator, "alice", since="year") == set(rows.values())


def test_anonymous_sessions_are_filtered(operator):
    row = SessionFactory(anonymous=True)
    others = {SessionFactory(), SessionFactory(issuer=None, user_id="1")}
    others.add(SessionFactory(issuer=None, subject_id=None, user_id="1"))
    assert found_by(operator, "", provider="nobody") == {row}
    assert not others & found_by(operator, "", provider="nobody")


def test_session_without_provider_is_filtered_without_a_user(operator):
    row = SessionFactory(issuer=None, subject_id="device-7", user_id=None)
    assert row in found_by(operator, "", provider="without")


def test_sessions_are_filtered_by_partition(operator):
    shop, wiki = SessionFactory(partition="shop"), SessionFactory(partition="wiki")
    assert found_by(operator, "alice", partition="wiki") == {wiki}
    assert found_by(operator, "alice", partition="Wiki") == set()
    assert found_by(operator, "alice") == {shop, wiki}


def test_filter_offers_partitions_that_have_sessions(operator):
    SessionFactory(partition="shop")
    SessionFactory(partition="wiki")
    text = operator.get(LIST).content.decode()
    for name in ("shop", "wiki", "default"):
        assert f'<a href="?partition={name}">' in text
    assert (
        '<a href="?partition=long-gone">'
        in operator.get(LIST, {"partition": "long-gone"}).content.decode()
    )


# Search for an issuer


def test_search_finds_the_sessions_of_an_issuer(operator):
    row, other = SessionFactory(), SessionFactory(issuer="https://other.example")
    assert found_by(operator, "iss:https://idp.example") == {row}
    assert found_by(operator, "iss:https://other.example") == {other}
    assert found_by(operator, "iss:https://idp") == set()


@pytest.mark.parametrize("subject", ["alice", "alice smith", " alice", "iss:alice"])
def test_issuer_narrows_the_search_for_a_subject(operator, subject):
    row = SessionFactory(subject_id=subject)
    SessionFactory(subject_id=subject, issuer="https://other.example")
    SessionFactory(subject_id="bob")
    assert found_by(operator, f"iss:https://idp.example {subject}") == {row}


# Users


def test_user_is_a_link_to_the_page_of_the_user(operator):
    user = UserFactory(username="al<ice")
    row = SessionFactory(user_id=str(user.pk))
    link = f'<a href="/admin/auth/user/{user.pk}/change/" class="bff-id">al&lt;ice</a>'
    assert ">al&lt;ice</span>" in operator.get(LIST).content.decode()
    assert link in operator.get(page_of(row)).content.decode()


@pytest.mark.parametrize("user_id", ["0", "4711", "not a number", "9" * 200, "1.0", ""])
def test_user_id_without_user_is_shown_as_text(operator, user_id):
    row = SessionFactory(user_id=user_id or None)
    for page in (LIST, page_of(row)):
        text = operator.get(page).content.decode()
        assert f"/user/{user_id}/" not in text
    assert user_id in text


def test_links_to_users_need_permission_to_view_users(django_assert_num_queries):
    user = UserFactory(username="the-user")
    SessionFactory(user_id=str(user.pk))
    browser = browser_of("view")
    with CaptureQueriesContext(connection) as captured:
        text = browser.get(LIST).content.decode()
    assert "the-user" not in text
    assert not any("auth_user" in q["sql"] and f" IN ({user.pk})" in q["sql"] for q in captured)
    viewer = User.objects.get(pk=browser.session["_auth_user_id"])
    viewer.user_permissions.add(Permission.objects.get(codename="view_user"))
    assert "the-user" in browser.get(LIST).content.decode()


# Search for a user name


def test_search_finds_the_sessions_of_a_user_by_name(operator):
    user = UserFactory(username="Alice Smith")
    mine = {SessionFactory(user_id=str(user.pk)), SessionFactory(user_id=str(user.pk), issuer=None)}
    SessionFactory(user_id=str(UserFactory(username="alice smith 2").pk))
    named = SessionFactory(subject_id="Alice Smith")
    assert found_by(operator, "Alice Smith") == {*mine, named}
    for term in ("alice smith", "Alice", "Alice Smith ", "Alice\0"):
        assert found_by(operator, term) == set()
    found = found_by(operator, "iss:https://idp.example Alice Smith")
    assert found == {named, *(row for row in mine if row.issuer)}


def test_names_need_not_be_texts(operator, monkeypatch):
    user = UserFactory()
    row = SessionFactory(user_id=str(user.pk))
    monkeypatch.setattr(User, "USERNAME_FIELD", "id")
    assert found_by(operator, "alice smith") == set()
    assert row in found_by(operator, str(user.pk))


def test_search_by_name_needs_permission_to_view_users():
    user = UserFactory(username="the-user")
    row, browser = SessionFactory(user_id=str(user.pk)), browser_of("view")
    assert found_by(browser, "the-user") == set()
    viewer = User.objects.get(pk=browser.session["_auth_user_id"])
    viewer.user_permissions.add(Permission.objects.get(codename="view_user"))
    assert found_by(browser, "the-user") == {row}


def test_search_looks_up_the_user_in_one_statement_without_a_join(operator):
    for user in UserFactory.create_batch(3):
        SessionFactory.create_batch(2, user_id=str(user.pk))
    operator.get(LIST)  # Content types are remembered from here on.
    with CaptureQueriesContext(connection) as listed:
        operator.get(LIST)
    with CaptureQueriesContext(connection) as found:
        assert len(operator.get(LIST, {"q": user.username}).context["cl"].result_list) == 2
    # The users by name. A search that is selective has no window.
    assert len(found) == len(listed) + 1 == LIST_STATEMENTS + 1
    assert not any("JOIN" in q["sql"] and "bff_sessions" in q["sql"] for q in found)


def test_site_without_users_has_no_links_to_users(operator, monkeypatch):
    user = UserFactory(username="the-user")
    SessionFactory(user_id=str(user.pk))
    # The process keeps the URLs of the models that the site has at its first request.
    operator.get(LIST)
    monkeypatch.delitem(admin.site._registry, User)
    text = operator.get(LIST).content.decode()
    assert "the-user" not in text
    assert found_by(operator, "the-user") == set()
