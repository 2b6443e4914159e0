"""The admin under a theme that has only the content block, and without JavaScript."""

import copy
import re
from html import unescape
from pathlib import Path

import pytest
from django.contrib import admin
from django.template import engines

import bff_sessions
from bff_sessions.admin.paging import MoreThan
from bff_sessions.models import Session
from tests.support.admin import LIST, OVERVIEW, choose, page_of, walk
from tests.support.factories import SessionFactory

pytestmark = pytest.mark.django_db

TEMPLATES = Path(bff_sessions.__file__).parent / "templates" / "admin"
STYLESHEET = '<link rel="stylesheet" href="/static/bff_sessions/admin.css">'
# As little as the templates of django-grappelli, django-unfold and django-jazzmin have in common:
# the content, and Django's own tags within it.
THEME = {
    "admin/base_site.html": "<title>{{ title }}</title>{% block content %}{% endblock %}",
    "admin/change_list.html": """
        {% extends "admin/base_site.html" %}{% load admin_list %}
        {% block content %}
        {{ media }}
        {% search_form cl %}
        {% for spec in cl.filter_specs %}{% admin_list_filter cl spec %}{% endfor %}
        {% pagination cl %}
        <form method="post">{% csrf_token %}{% result_list cl %}{% admin_actions %}</form>
        {% endblock %}
    """,
    "admin/actions.html": """
        {% for field in action_form %}{{ field }}{% endfor %}
        <button name="index" value="0">Go</button>
        {% if cl.result_count != cl.result_list|length %}
        {{ selection_note_all }}, <a href="#">Select all {{ cl.result_count }}</a>
        {% endif %}
    """,
    "admin/pagination.html": "{{ cl.result_count }} in all",
}


@pytest.fixture
def bare_theme(settings):
    """Replace Django's templates with those of a theme that has only the content block."""
    configured = copy.deepcopy(settings.TEMPLATES)
    del configured[0]["APP_DIRS"]
    configured[0]["OPTIONS"]["loaders"] = [
        ("django.template.loaders.locmem.Loader", THEME),
        "django.template.loaders.app_directories.Loader",
    ]
    settings.TEMPLATES = configured


def text_of(response):
    assert response.status_code == 200
    return response.content.decode()


def test_templates_need_only_the_content_block():
    filled = {
        name
        for template in TEMPLATES.rglob("*.html")
        for name in re.findall(r"{% block (\S+) %}", template.read_text())
    }
    # Where a theme has no breadcrumbs, the content links to the list.
    assert filled == {"content", "breadcrumbs"}


def test_list_has_pages_in_every_theme(operator, small_pages, bare_theme):
    rows = SessionFactory.create_batch(5)
    pages = list(walk(operator, q="alice"))
    assert [len(page) for page in pages] == [2, 2, 1]
    assert {row for page in pages for row in page} == set(rows)


def test_list_links_to_its_first_page_in_every_theme(operator, small_pages, bare_theme):
    SessionFactory.create_batch(3)
    first = text_of(operator.get(LIST, {"q": "alice"}))
    assert "First page" not in first
    second = unescape(re.search(r'<a href="(\?[^"]*)" rel="next">', first)[1])
    assert '<a href="?q=alice">First page</a>' in text_of(operator.get(LIST + second))


def test_list_shows_its_window_in_every_theme(operator, small_pages, bare_theme):
    SessionFactory.create_batch(12)
    text = text_of(operator.get(LIST, {"partition": "wiki"}))
    assert "all matches among 5 sessions" in text
    assert "Search older sessions" in text


def test_list_links_to_the_overview_in_every_theme(operator, bare_theme):
    text = text_of(operator.get(LIST))
    assert f'<a href="{OVERVIEW}">Overview</a>' in text
    assert "bff_sessions/admin.css" in text


def test_list_has_search_and_filters_in_every_theme(operator, bare_theme):
    text = text_of(operator.get(LIST))
    assert "Enter an exact subject, session ID, user name or user ID." in text
    assert '<a href="?state=expired">' in text


def test_overview_is_complete_in_every_theme(operator, bare_theme):
    text = text_of(operator.get(OVERVIEW))
    assert STYLESHEET in text
    assert f'<a href="{LIST}">' in text
    assert "Live sessions now" in text


@pytest.mark.parametrize("action", ["end_sessions", "sign_out_subjects"])
def test_all_that_match_end_in_every_theme(operator, small_pages, bare_theme, action):
    rows = SessionFactory.create_batch(5)
    chosen = choose(rows[:1], action, select_across="1")
    page = text_of(operator.post(f"{LIST}?q=alice", chosen))
    assert STYLESHEET in page
    assert "5 live sessions will end." in page
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="(\w+)">', page))
    assert fields.keys() >= {"_selected_action", "action", "select_across", "post"}
    response = operator.post(f"{LIST}?q=alice", fields, follow=True)
    assert response.redirect_chain == [(f"{LIST}?q=alice", 302)]
    assert not Session.objects.filter(subject_id="alice").exists()


def test_confirmation_leads_back_to_the_list_without_scripts(operator, bare_theme):
    address = f"{LIST}?q=alice&amp;state=live"
    for rows in ([SessionFactory()], [SessionFactory(subject_id="bob")]):
        page = text_of(operator.post(unescape(address), choose(rows)))
        assert f'<a href="{address}" class="button cancel-link">' in page


def test_session_ends_from_its_page_in_every_theme(operator, bare_theme):
    row = SessionFactory()
    assert page_of(row, "delete") in text_of(operator.get(page_of(row)))
    text_of(operator.get(page_of(row, "delete")))
    assert operator.post(page_of(row, "delete"), {"post": "yes"}).status_code == 302
    assert not Session.objects.filter(pk=row.pk).exists()


# The number of all that match, which is not counted


@pytest.fixture(params=["django", "bare"])
def any_theme(request):
    if request.param == "bare":
        request.getfixturevalue("bare_theme")


def test_number_that_was_not_counted_is_a_lower_bound(operator, small_pages, any_theme):
    SessionFactory.create_batch(3)
    text = text_of(operator.get(LIST))
    assert "Select all 2+" in text
    assert "All 2+ selected" in text
    assert not re.search(r"all 3\b", text, re.IGNORECASE)


def test_number_of_a_last_page_is_exact(operator, any_theme):
    SessionFactory.create_batch(3)
    response = operator.get(LIST, {"q": "alice"})
    assert not re.search(r"Select all \d", text_of(response))
    assert str(response.context["cl"].result_count) == "3"


@pytest.mark.parametrize(
    ("counted", "text"), [(0, "0+"), (1, "1+"), (99, "99+"), (100, "99+"), (5000, "99+")]
)
def test_lower_bound_has_no_thousands_separator(settings, counted, text):
    settings.USE_THOUSAND_SEPARATOR = True
    number = MoreThan(counted)
    assert number > counted
    template = "{{ n }} {% load i18n %}{% blocktranslate %}{{ n }}{% endblocktranslate %}"
    rendered = engines["django"].from_string(template).render({"n": number})
    assert rendered == f"{text} {text}"
    assert str(number) == text


# Nonces of a Content Security Policy


def test_own_elements_carry_the_nonce_that_a_page_uses(operator, settings, bare_theme):
    pytest.importorskip("django.utils.csp", reason="Django 6.0 introduced nonces.")
    settings.MIDDLEWARE = [
        "django.middleware.csp.ContentSecurityPolicyMiddleware",
        *settings.MIDDLEWARE,
    ]
    settings.SECURE_CSP = {"default-src": ["<CSP_NONCE_SENTINEL>"]}
    configured = copy.deepcopy(settings.TEMPLATES)
    options = configured[0]["OPTIONS"]
    options["context_processors"].append("django.template.context_processors.csp")
    # A theme that uses the nonce, as Django's own admin does from 6.1 on.
    base = f"{{{{ csp_nonce }}}}{THEME['admin/base_site.html']}"
    options["loaders"][0] = (options["loaders"][0][0], THEME | {"admin/base_site.html": base})
    settings.TEMPLATES = configured
    for response in (operator.get(OVERVIEW), operator.post(LIST, choose([SessionFactory()]))):
        nonce = re.search("'nonce-(.*)'", response["Content-Security-Policy"])[1]
        elements = re.findall("<(?:link|script) [^>]*>", text_of(response))
        assert elements
        assert all(f'nonce="{nonce}"' in element for element in elements)


# The actions that Django 6.1 offers on the page of one object


def test_actions_need_no_location(operator, rf):
    model_admin = admin.site.get_model_admin(Session)
    request = rf.get(LIST)
    request.user = operator.get(LIST).wsgi_request.user
    assert list(model_admin.get_actions(request)) == ["end_sessions", "sign_out_subjects"]


@pytest.mark.parametrize("action", ["end_sessions", "sign_out_subjects", "delete_selected"])
def test_session_page_offers_no_action(operator, action):
    row = SessionFactory()
    # The form of the page itself; a form beside it leads to the list's own action.
    assert 'name="CHANGE_FORM-action"' not in text_of(operator.get(page_of(row)))
    chosen = choose([row], action, post="yes", **{"CHANGE_FORM-action": action})
    assert operator.post(page_of(row), chosen).status_code == 403
    assert Session.objects.filter(pk=row.pk).exists()


def test_session_page_offers_actions_of_the_site_meant_for_it(operator, monkeypatch):
    if not hasattr(admin, "ActionLocation"):
        pytest.skip("Django 6.1 introduced actions on the page of one object.")
    row, seen = SessionFactory(), []

    @admin.action(description="Note", location=admin.ActionLocation.CHANGE_FORM)
    def note(model_admin, request, queryset):
        seen.extend(queryset)

    monkeypatch.setitem(admin.site._actions, "note", note)
    assert 'name="CHANGE_FORM-action"' in text_of(operator.get(page_of(row)))
    chosen = {"CHANGE_FORM-action": "note", "_selected_action": [row.pk]}
    assert operator.post(page_of(row), chosen).status_code == 302
    assert seen == [row]
    assert 'value="note"' not in text_of(operator.get(LIST))
