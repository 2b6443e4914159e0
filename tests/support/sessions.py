"""Sessions of alice, and requests that carry a session."""

from django.test import RequestFactory

from bff_sessions.contract import UserSessionsFilter
from bff_sessions.engine import SessionStore

ALICE = {"oidc": {"iss": "https://idp.example", "sub": "alice", "sid": "s1"}}


ALICES = UserSessionsFilter(subject_id="alice")


def start(**data):
    session = SessionStore()
    session.update(data)
    session.save()
    return session.session_key


def request_with(session):
    request = RequestFactory().get("/")
    request.session = session
    return request
