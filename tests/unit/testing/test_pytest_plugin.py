"""The fixtures, in a project that opts in to them."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
CONFTEST = """
pytest_plugins = ["bff_sessions.testing.pytest_plugin"]
"""
TESTS = """
import pytest
from django.contrib.auth.models import User

from bff_sessions.testing import AsyncClient, Client

pytestmark = pytest.mark.django_db


def test_fixtures(client, async_client, sign_in):
    assert isinstance(client, Client)
    assert isinstance(async_client, AsyncClient)
    user = User.objects.create(username="alice")
    session = sign_in(user, claims={"sub": "sub-of-alice"})
    assert client.session["oidc"]["sub"] == "sub-of-alice"
    assert client.session.session_key == session.session_key


def test_write_after_force_login(client):
    client.force_login(User.objects.create(username="alice"))
    session = client.session
    session["oidc"] = {"iss": "https://idp.example", "sub": "sub-of-alice"}
    session.save()
    assert "_auth_user_id" in client.session


def test_asynchronous_client(async_client, asign_in):
    from asgiref.sync import async_to_sync

    async_to_sync(asign_in)(User.objects.create(username="alice"))
    assert "_auth_user_id" in async_client.session
"""


def test_fixtures_replace_those_of_pytest_django(tmp_path):
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_shop.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\nDJANGO_SETTINGS_MODULE = tests.settings\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TEST_DATABASE_URL": "sqlite://:memory:"},
        capture_output=True,
        text=True,
    )
    assert "3 passed" in done.stdout, done.stdout + done.stderr
