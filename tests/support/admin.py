"""The pages of the admin, and browsers of its users."""

import re
from html import unescape

from django.contrib.admin.utils import quote
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.test import Client
from django.urls import reverse

from bff_sessions.models import Session
from tests.support.factories import UserFactory

LIST = "/admin/bff_sessions/session/"


OVERVIEW = f"{LIST}overview/"


def browser_of(*permissions):
    """Return the browser of a staff user with these permissions for sessions."""
    user, browser = UserFactory(is_staff=True), Client()
    content_type = ContentType.objects.get_for_model(Session)
    for name in permissions:
        codename = "sign_out_subject" if name == "sign_out" else f"{name}_session"
        # Those that a former version had are made again: they may be left in a database.
        permission, _is_new = Permission.objects.get_or_create(
            codename=codename, content_type=content_type
        )
        user.user_permissions.add(permission)
    browser.force_login(user)
    return browser


def page_of(row, page="change"):
    return reverse(f"admin:bff_sessions_session_{page}", args=[row.pk])


def found_by(browser, term, **query):
    response = browser.get(LIST, {"q": term, **query})
    assert response.status_code == 200
    return set(response.context["cl"].result_list)


def choose(rows, action="end_sessions", **more):
    return {"action": action, "_selected_action": [row.pk for row in rows], **more}


def walk(browser, **query):
    """Yield the sessions of each page, and follow the link to the next one."""
    response = browser.get(LIST, query)
    while True:
        assert response.status_code == 200
        rows = list(response.context["cl"].result_list)
        yield rows
        link = re.search(r'<a href="(\?[^"]*)" rel="next">', response.content.decode())
        if link is None:
            return
        response = browser.get(LIST + unescape(link[1]))


def page_of_session(session, page="change", criterion="sid"):
    """Return the page of a `UserSession` that no row of the ORM store holds."""
    return reverse(
        f"admin:bff_sessions_session_{page}", args=[quote(reference(session, criterion))]
    )


def reference(session, criterion="sid"):
    """Return what names a `UserSession` in URLs and forms."""
    value = {"sid": session.session_id, "subject": session.subject_id, "user": session.user_id}
    return f"{session.public_id}.{criterion}.{value[criterion]}"


def choose_sessions(sessions, action="end_sessions", **more):
    return {"action": action, "_selected_action": list(map(reference, sessions)), **more}
