"""The sample project, served by its own command and used through HTTP."""

import html
import logging
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
from datetime import UTC, datetime, timedelta
from http.cookiejar import CookieJar
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, ProxyHandler, build_opener

import pytest
from django.contrib.auth.models import User

from bff_sessions.models import Session
from sample_project.logs import NoPolls
from tests.support.factories import SessionFactory
from tests.support.processes import NO_PROVIDER, ROOT, database_url

pytestmark = pytest.mark.processes


def manage(*arguments, **environment):
    """Start manage.py of the sample project as a process."""
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={
            **os.environ,
            **NO_PROVIDER,
            "DJANGO_SETTINGS_MODULE": "sample_project.settings",
            "DATABASE_URL": database_url(),
            "DEBUG": "true",
            **environment,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def outcome(process):
    output, _ = process.communicate(timeout=60)
    return process.returncode, output


class Browser:
    def __init__(self, origin):
        self.origin = origin
        self.cookies = CookieJar()
        # Without the proxies of the environment.
        self.opener = build_opener(ProxyHandler({}), HTTPCookieProcessor(self.cookies))
        self.seen = []

    def open(self, path, **form):
        """Return the page at `path`, or its answer to the form, and set `page`."""
        data = None
        if form:
            token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', self.page)
            data = urlencode({"csrfmiddlewaretoken": token[1], **form}, doseq=True).encode()
        with self.opener.open(self.origin + path, data, timeout=30) as response:
            self.url = response.url.removeprefix(self.origin)
            self.page = html.unescape(response.read().decode())
        self.seen.append(self.page)
        return self.page

    def sign_in(self, path, username, **form):
        self.open(path)
        return self.open(path, username=username, password="demo", **form)

    @property
    def session_key(self):
        (key,) = [cookie.value for cookie in self.cookies if cookie.name == "sessionid"]
        return key


@pytest.fixture
def origin(transactional_db):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    process = manage("demo", address, "--no-seed")
    try:
        for _ in range(300):
            assert process.poll() is None, process.communicate()[0]
            try:
                socket.create_connection(address.split(":"), timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield f"http://{address}"
    finally:
        process.terminate()
        process.communicate(timeout=30)


def test_signed_in_found_in_the_admin_deleted_there_and_signed_out(origin):
    alice, operator = Browser(origin), Browser(origin)
    alice.sign_in("/sign-in", "alice")
    assert alice.url == "/"
    assert "Signed in as alice" in alice.page
    sid = re.search(r"Session ID</dt><dd><code>(\w+)<", alice.page)[1]

    operator.sign_in("/admin/login/", "operator", next="/admin/")
    for term in ("sub-alice", sid):
        found = operator.open(f"/admin/bff_sessions/session/?q={term}")
        assert found.count('class="action-select"') == 1
        assert "sub-alice" in found
    (pk,) = re.findall(r'name="_selected_action" value="(\d+)"', operator.page)
    operator.open(f"/admin/bff_sessions/session/{pk}/change/")
    operator.open(f"/admin/bff_sessions/session/{pk}/delete/")
    (row,) = Session.objects.filter(subject_id="sub-alice")
    operator.open(f"/admin/bff_sessions/session/{pk}/delete/", post="yes")

    alice.open("/")
    assert alice.url == "/sign-in?next=/"
    assert "An operator has ended your session." in alice.page
    assert operator.open("/admin/") and "operator" in operator.page
    for page in alice.seen + operator.seen:
        assert row.key not in page
        assert operator.session_key not in page


def test_the_page_shows_every_session_of_the_subject_and_of_nobody_else(origin):
    browsers = [Browser(origin) for _ in range(3)]
    for browser, username in zip(browsers, ["alice", "alice", "bob"], strict=True):
        browser.sign_in("/sign-in", username)
    assert browsers[0].open("/").count("<section") == 2
    assert browsers[0].page.count("this browser") == 1
    assert browsers[2].open("/").count("<section") == 1
    browsers[1].open("/bff/logout", confirm="yes")
    assert browsers[1].url == "/sign-in"
    assert browsers[0].open("/").count("<section") == 1


def test_sign_in_refuses_a_wrong_password_and_leads_to_pages_of_its_own_only(origin):
    browser = Browser(origin)
    browser.open("/sign-in")
    assert "correct username" in browser.open("/sign-in", username="alice", password="wrong")
    browser.sign_in("/sign-in", "alice", next="//elsewhere.example/")
    assert browser.url == "/"
    assert "Signed in as alice" in browser.page
    with pytest.raises(urllib.error.HTTPError, match="403"):
        browser.opener.open(f"{origin}/bff/logout", b"forged", timeout=30)


@pytest.mark.django_db(transaction=True)
def test_setting_up_twice_changes_nothing():
    for _ in range(2):
        returncode, output = outcome(manage("demo", "--no-serve", "--no-seed"))
        assert returncode == 0, output
        assert "http://127.0.0.1:8000/admin/  sign in as operator, password demo" in output
    users = User.objects.order_by("username").values_list("username", "is_superuser")
    assert list(users) == [("alice", False), ("bob", False), ("operator", True)]


@pytest.mark.django_db(transaction=True)
def test_a_deployment_has_no_demo_and_needs_a_key_of_its_own():
    returncode, output = outcome(manage("demo", DEBUG="false", SECRET_KEY="of a deployment"))
    assert returncode == 1
    assert "DEBUG must be true" in output
    assert not User.objects.exists()
    returncode, output = outcome(manage("check", DEBUG="false"))
    assert returncode == 1
    assert "SECRET_KEY" in output


def test_a_provider_is_configured_altogether_or_not_at_all():
    returncode, output = outcome(manage("check", OIDC_ISSUER="https://idp.example"))
    assert returncode == 1
    assert (
        "To let users sign in at a provider, also set OIDC_CLIENT_ID, OIDC_CLIENT_SECRET." in output
    )


def test_a_demo_with_a_provider_says_that_it_needs_node():
    returncode, output = outcome(manage("demo", "--provider", PATH=""))
    assert returncode == 1
    assert "needs Node.js 20 or later with npm, but node and npm cannot be found" in output
    assert "run the demo without --provider" in output


def test_demo_names_the_version_of_node_that_is_too_old(tmp_path):
    for name in ("node", "npm"):
        (tmp_path / name).write_text("#!/bin/sh\necho v18.20.4\n")
        (tmp_path / name).chmod(0o755)
    returncode, output = outcome(manage("demo", "--provider", PATH=str(tmp_path)))
    assert returncode == 1
    assert "needs Node.js 20 or later with npm, but node is v18.20.4" in output


def test_sample_has_error_pages_of_its_own():
    code = """
from django.test import Client
page = Client(enforce_csrf_checks=True)
for answer in (
    page.get("/nowhere", headers={"host": "shop.example"}),
    page.get("/", headers={"host": "elsewhere.example"}),
    page.post("/sign-in", headers={"host": "shop.example"}),
):
    assert b"<nav" in answer.content, answer.content
    print(answer.status_code, answer.content.decode().partition("<h1>")[2].partition("</h1>")[0])
"""
    settings = {"DEBUG": "false", "SECRET_KEY": "of a deployment", "ALLOWED_HOSTS": "shop.example"}
    returncode, output = outcome(manage("shell", "-c", code, **settings))
    assert returncode == 0, output
    for line in (
        "404 Page not found",
        "400 That request was not valid",
        "403 This form is out of date",
    ):
        assert line in output


def test_server_of_the_sample_does_not_log_polls():
    filter = NoPolls()
    for path in ("/bff/user?slide=false", "/bff/events"):
        poll = f'"GET {path} HTTP/1.1" %s 100'
        for status, level, is_logged in ((200, logging.INFO, False), (401, logging.WARNING, True)):
            record = logging.LogRecord("django.server", level, "", 0, poll, (status,), None)
            assert filter.filter(record) is is_logged


@pytest.mark.parametrize("given", ["{port}", "127.0.0.1:{port}", "localhost:{port}", "0:{port}"])
def test_demo_on_a_port_that_is_taken_asks_for_another_one(given):
    with socket.create_server(("0.0.0.0", 0)) as listener:
        given = given.format(port=listener.getsockname()[1])
        returncode, output = outcome(manage("demo", given))
    assert returncode == 1
    assert (
        f"The sample cannot listen at {given if ':' in given else '127.0.0.1:' + given} (" in output
    )
    assert "Give it another port: manage.py demo 8001." in output


@pytest.mark.parametrize("given", ["port", "127.0.0.1:99999", ""])
def test_demo_refuses_what_is_not_a_port(given):
    returncode, output = outcome(manage("demo", given))
    assert returncode == 1
    assert "The sample cannot listen at " in output


def seeded():
    """Return the values that are the same in each run."""
    rows = Session.objects.filter(session_id__startswith="demo-").order_by("session_id")
    return list(rows.values_list("key", "subject_id", "user_agent", "address"))


@pytest.mark.django_db(transaction=True)
def test_seeding_again_makes_the_same_people_and_sessions():
    assert outcome(manage("demo", "--no-serve"))[0] == 0
    assert len(seeded()) == 400
    assert User.objects.filter(username__startswith="demo-").count() == 40
    of_a_visitor = SessionFactory(partition="sample", session_id="laptop")
    runs = []
    for _ in range(2):
        returncode, output = outcome(manage("seed_demo", "--users", "3", "--sessions", "700"))
        assert returncode == 0, output
        assert "Added 3 users and 700 sessions." in output
        runs.append(seeded())
    assert len(runs[0]) == 700
    assert runs[0] == runs[1]
    assert Session.objects.filter(pk=of_a_visitor.pk).exists()
    now = datetime.now(UTC)
    rows = Session.objects.exclude(pk=of_a_visitor.pk)
    assert 100 < rows.filter(expires__gt=now).count() < 600
    assert rows.filter(created__lt=now - timedelta(days=20)).exists()
    assert not rows.filter(created__lt=now - timedelta(days=31)).exists()
    assert rows.filter(subject_id="sub-alice", expires__gt=now).count() == 4


@pytest.mark.django_db(transaction=True)
def test_a_deployment_is_not_seeded():
    returncode, output = outcome(manage("seed_demo", DEBUG="false", SECRET_KEY="of a deployment"))
    assert returncode == 1
    assert "DEBUG must be true" in output
    assert outcome(manage("seed_demo", "--users", "0"))[0] == 1
    assert not User.objects.exists()
