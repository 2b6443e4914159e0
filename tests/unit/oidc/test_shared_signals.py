"""What accepted security events do."""

import logging
import time
from datetime import UTC, datetime, timedelta
from unittest import mock
from urllib.parse import urlencode

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings as project
from django.db import DatabaseError, connection, transaction
from django.db.models import Q
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from bff_sessions.contract import Actor, EndReason
from bff_sessions.engine import SessionStore
from bff_sessions.exceptions import RevocationUnconfirmed, StoreUnavailable
from bff_sessions.identity.session_ids import make_session_id
from bff_sessions.models import Logout, Session
from bff_sessions.oidc.logout import handling
from bff_sessions.oidc.options.event_types import EVENT_TYPES
from bff_sessions.oidc.shared_signals.handling import handle
from bff_sessions.oidc.shared_signals.tokens import verify_signal
from bff_sessions.oidc.shared_signals.views import signals
from bff_sessions.signals import sessions_ended
from bff_sessions.stores import get_store
from bff_sessions.stores.databases import retrying
from tests.support.factories import SessionFactory
from tests.support.faults import LOST, ROLLED_BACK, Fault
from tests.support.logs import errors
from tests.support.provider import KEYS
from tests.support.transmitter import (
    CAEP,
    CONTENT_TYPE,
    OAUTH,
    RISC,
    SESSION_REVOKED,
    SSF,
    Transmitter,
    complex_subject,
    email,
    opaque,
)

pytestmark = pytest.mark.django_db

ADDRESSES = {"alice@shop.example": "alice", "nobody@shop.example": None}


def find_by_email(address):
    return ADDRESSES.get(address)


def find_something_else(address):
    return {"sub": address}


EMAILS = f"{__name__}.find_by_email"


@pytest.fixture
def transmitter(provider, configure):
    configure(SIGNALS={})
    return Transmitter(provider)


@pytest.fixture
def post(provider):
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)

    def post(token):
        response = client.post(reverse("bff_sessions:signals"), token, CONTENT_TYPE)
        assert response.status_code == 500 or response["Cache-Control"] == "no-store"
        return response.status_code

    return post


@pytest.fixture
def sessions(provider):
    """Alice's on two devices, bob's, and some that only look like alice's."""
    for subject, device in [("alice", "laptop"), ("alice", "phone"), ("bob", "tablet")]:
        SessionFactory(issuer=provider.issuer, subject_id=subject, session_id=device)
    SessionFactory(issuer="https://idp.example", subject_id="alice", session_id="laptop")
    SessionFactory(issuer=None, subject_id="alice", session_id="laptop")


def left(provider):
    others = Session.objects.filter(Q(issuer=None) | Q(issuer="https://idp.example"))
    assert others.count() == 2
    rows = Session.objects.filter(issuer=provider.issuer).order_by("session_id")
    return [row.session_id for row in rows]


ALL = ["laptop", "phone", "tablet"]


def lines(caplog):
    return [
        (record.levelname, record.getMessage())
        for record in caplog.records
        if record.name == "bff_sessions.signals"
    ]


# Types of events


ENDING = [
    (SESSION_REVOKED, {}),
    (SESSION_REVOKED, {"initiating_entity": "policy", "event_timestamp": 1615304991}),
    (f"{CAEP}token-claims-change", {"claims": {"role": "ro-admin"}}),
    (f"{CAEP}credential-change", {"credential_type": "password", "change_type": "update"}),
    (f"{CAEP}credential-change", {"credential_type": "password", "change_type": "revoke"}),
    (f"{CAEP}credential-change", {"credential_type": "app", "change_type": "delete"}),
    (f"{CAEP}credential-change", {"credential_type": "app", "change_type": "unknown"}),
    (f"{CAEP}credential-change", {"change_type": ["create"]}),
    (f"{CAEP}credential-change", {}),
    (f"{RISC}account-disabled", {"reason": "hijacking"}),
    (f"{RISC}account-disabled", {}),
    (f"{RISC}account-purged", {}),
    (f"{RISC}account-credential-change-required", {}),
    (f"{RISC}credential-compromise", {"credential_type": "password"}),
    (f"{RISC}sessions-revoked", {}),
    (f"{OAUTH}tokens-revoked", {}),
]
IGNORED = [
    (f"{CAEP}credential-change", {"credential_type": "fido2-roaming", "change_type": "create"}),
    (f"{CAEP}assurance-level-change", {"change_direction": "decrease"}),
    (f"{CAEP}device-compliance-change", {"current_status": "not-compliant"}),
    (f"{CAEP}risk-level-change", {"current_level": "HIGH", "principal": "USER"}),
    (f"{CAEP}session-established", {}),
    (f"{CAEP}session-presented", {}),
    (f"{RISC}account-enabled", {}),
    (f"{RISC}identifier-changed", {"new-value": "a@b.example"}),
    (f"{RISC}identifier-recycled", {}),
    (f"{RISC}recovery-activated", {}),
    (f"{RISC}recovery-information-changed", {}),
    (f"{RISC}opt-in", {}),
    (f"{RISC}opt-out-initiated", {}),
    (f"{RISC}opt-out-cancelled", {}),
    (f"{RISC}opt-out-effective", {}),
]


def named(cases):
    return [
        pytest.param(uri, payload, id=f"{uri.rpartition('/')[2]}-{number}")
        for number, (uri, payload) in enumerate(cases)
    ]


@pytest.mark.parametrize(("uri", "payload"), named(ENDING))
def test_event_ends_sessions(provider, transmitter, post, sessions, uri, payload):
    assert post(transmitter.token(uri, payload)) == 202
    assert left(provider) == ["tablet"]


@pytest.mark.parametrize(("uri", "payload"), named(IGNORED))
def test_event_is_ignored(provider, transmitter, post, sessions, caplog, uri, payload):
    caplog.set_level(logging.INFO)
    assert post(transmitter.token(uri, payload)) == 202
    assert left(provider) == ALL
    assert not Logout.objects.exists()
    name = uri.rpartition("/")[2]
    assert lines(caplog) == [("INFO", f"An event of {provider.issuer} was ignored: {name}.")]


def test_every_type_is_tried():
    assert {uri for uri, _ in [*ENDING, *IGNORED]} == EVENT_TYPES.keys()
    assert len({kind.name for kind in EVENT_TYPES.values()}) == len(EVENT_TYPES)


@pytest.mark.parametrize(
    "uri", ["https://vendor.example/event", "", "a\n\x1b[2J\u202eb" + "x" * 999]
)
def test_unknown_event_is_ignored(provider, transmitter, post, sessions, caplog, uri):
    caplog.set_level(logging.INFO)
    assert post(transmitter.token(uri)) == 202
    assert left(provider) == ALL
    ((level, text),) = lines(caplog)
    assert level == "INFO"
    assert text.startswith(f"An event of {provider.issuer} is of an unknown type: '{uri[:1]}")
    assert text.isascii()
    assert text.isprintable()
    assert len(text) < 300


def test_action_can_be_changed(provider, configure, post, sessions):
    actions = {
        "token-claims-change": "ignore",
        f"{CAEP}credential-change": "ignore",
        "device-compliance-change": "end",
        "https://vendor.example/event": "end",
        "urn:ietf:params:scim:event:prov:delete": "end",
    }
    configure(SIGNALS={"ACTIONS": actions})
    transmitter = Transmitter(provider)
    assert post(transmitter.token(f"{CAEP}token-claims-change")) == 202
    assert post(transmitter.token(f"{CAEP}credential-change")) == 202
    assert left(provider) == ALL
    bob = transmitter.subject("bob")
    assert post(transmitter.token("https://vendor.example/event", sub_id=bob)) == 202
    assert left(provider) == ["laptop", "phone"]
    phone = complex_subject(session=opaque("phone"))
    uri = "urn:ietf:params:scim:event:prov:delete"
    assert post(transmitter.token(uri, sub_id=phone)) == 202
    assert left(provider) == ["laptop"]
    assert post(transmitter.token(f"{CAEP}device-compliance-change")) == 202
    assert left(provider) == []


@pytest.mark.parametrize(
    ("name", "harmless", "harmful"),
    [
        ("assurance-level-change", {"change_direction": "increase"}, {}),
        (
            "device-compliance-change",
            {"current_status": "compliant"},
            {"current_status": "not-compliant"},
        ),
        ("risk-level-change", {"current_level": "LOW"}, {"current_level": "HIGH"}),
        ("risk-level-change", {"current_level": "MEDIUM"}, {"current_level": ["LOW"]}),
    ],
)
def test_change_for_the_better_ends_nothing(
    provider, configure, post, sessions, name, harmless, harmful
):
    configure(SIGNALS={"ACTIONS": {name: "end"}})
    transmitter = Transmitter(provider)
    assert post(transmitter.token(f"{CAEP}{name}", harmless)) == 202
    assert left(provider) == ALL
    assert post(transmitter.token(f"{CAEP}{name}", harmful)) == 202
    assert left(provider) == ["tablet"]


def test_alternative_uris_are_one_event(provider, transmitter, post, sessions):
    events = {"https://vendor.example/e": {}, SESSION_REVOKED: {}, f"{RISC}sessions-revoked": {}}
    subject = complex_subject(user=transmitter.subject(), session=opaque("laptop"))
    assert post(transmitter.token(events=events, sub_id=subject)) == 202
    assert left(provider) == ["tablet"]
    assert Logout.objects.count() == 1


@pytest.mark.parametrize("is_first", [True, False])
def test_event_that_names_nobody_does_not_hide_its_alternative(
    provider, transmitter, post, sessions, caplog, is_first
):
    caplog.set_level(logging.INFO)
    events = [
        (f"{RISC}account-disabled", {"subject": email("alice@shop.example")}),
        (SESSION_REVOKED, {"subject": transmitter.subject()}),
    ]
    ordered = dict(events if is_first else reversed(events))
    assert post(transmitter.token(events=ordered, without=["sub_id"])) == 202
    assert left(provider) == ["tablet"]
    accepted = f"An event of {provider.issuer} was accepted (session-revoked)."
    assert lines(caplog) == [("INFO", f"{accepted} Sessions ended: 2.")]


def test_alternatives_that_name_nobody_are_logged_once(provider, transmitter, post, caplog):
    events = {
        f"{RISC}account-disabled": {"subject": PHONE},
        SESSION_REVOKED: {"subject": email("alice@shop.example")},
    }
    assert post(transmitter.token(events=events, without=["sub_id"])) == 202
    text = "it is an e-mail address, and EMAILS is not set"
    issuer = provider.issuer
    assert lines(caplog) == [
        (
            "WARNING",
            f"An event of {issuer} names no user or session here (session-revoked): {text}.",
        )
    ]


def test_many_types_of_events_are_one_line(provider, transmitter, post, sessions, caplog):
    caplog.set_level(logging.INFO)
    unknown = {f"https://vendor.example/{number:03}": {} for number in range(900)}
    ignored = {f"{RISC}opt-{part}": {} for part in ("in", "out-initiated")}
    assert post(transmitter.token(events=ignored | unknown)) == 202
    assert left(provider) == ALL
    names = ", ".join(f"'https://vendor.example/{number:03}'" for number in range(3))
    about = f"An event of {provider.issuer}"
    assert lines(caplog) == [
        ("INFO", f"{about} is of an unknown type: {names} and 897 more."),
        ("INFO", f"{about} was ignored: opt-in, opt-out-initiated."),
    ]


# Subjects


def alias(*identifiers):
    return {"format": "aliases", "identifiers": list(identifiers)}


PHONE = {"format": "phone_number", "phone_number": "+12065550100"}
SUBJECTS = {
    "iss_sub": (lambda t: t.subject(), ["tablet"]),
    "iss_sub of bob": (lambda t: t.subject("bob"), ["laptop", "phone"]),
    "iss_sub of nobody": (lambda t: t.subject("carol"), ALL),
    "iss_sub of another issuer": (lambda t: t.subject() | {"iss": "https://idp.example"}, ALL),
    "iss_sub with a slash more": (lambda t: t.subject() | {"iss": t.issuer + "/"}, ALL),
    "iss_sub with unknown members": (lambda t: t.subject() | {"more": [1]}, ["tablet"]),
    "iss-sub of a draft": (
        lambda t: {"subject_type": "iss-sub", "iss": t.issuer, "sub": "alice"},
        ["tablet"],
    ),
    "opaque": (lambda t: opaque("alice"), ["tablet"]),
    "opaque with a sid": (lambda t: opaque("laptop"), ALL),
    "email": (lambda t: email("alice@shop.example"), ["tablet"]),
    "email of nobody": (lambda t: email("nobody@shop.example"), ALL),
    "email in capitals": (lambda t: email("ALICE@shop.example"), ALL),
    "phone number": (lambda t: PHONE, ALL),
    "unknown format": (lambda t: {"format": "catalog_item", "catalog_id": "a"}, ALL),
    "format with a NUL": (lambda t: {"format": "a\0"}, ALL),
    "token": (lambda t: {"format": "jwt_id", "iss": t.issuer, "jti": "a"}, ALL),
    "aliases": (lambda t: alias(PHONE, t.subject()), ["tablet"]),
    "aliases with an unknown ID first": (lambda t: alias(opaque("4711"), t.subject()), ["tablet"]),
    "aliases with an unknown ID and an email": (
        lambda t: alias(opaque("4711"), email("alice@shop.example")),
        ["tablet"],
    ),
    "aliases with two known users": (lambda t: alias(t.subject(), PHONE, t.subject("bob")), []),
    "aliases with an issuer of another": (
        lambda t: alias(t.subject() | {"iss": "https://idp.example"}, t.subject("bob")),
        ["laptop", "phone"],
    ),
    "aliases of another issuer": (
        lambda t: alias(t.subject() | {"iss": "https://idp.example"}, email("nobody@shop.example")),
        ALL,
    ),
    "user": (lambda t: complex_subject(user=t.subject()), ["tablet"]),
    "opaque user": (lambda t: complex_subject(user=opaque("alice")), ["tablet"]),
    "user by email": (lambda t: complex_subject(user=email("alice@shop.example")), ["tablet"]),
    "user by aliases": (lambda t: complex_subject(user=alias(opaque("alice"))), ["tablet"]),
    "user by aliases with an unknown ID first": (
        lambda t: complex_subject(user=alias(opaque("4711"), t.subject())),
        ["tablet"],
    ),
    "user by aliases and session": (
        lambda t: complex_subject(user=alias(opaque("4711"), t.subject()), session=opaque("phone")),
        ["laptop", "tablet"],
    ),
    "session": (lambda t: complex_subject(session=opaque("laptop")), ["phone", "tablet"]),
    "session of nobody": (lambda t: complex_subject(session=opaque("unknown")), ALL),
    "user and session": (
        lambda t: complex_subject(user=t.subject(), session=opaque("phone")),
        ["laptop", "tablet"],
    ),
    "user and session of another user": (
        lambda t: complex_subject(user=t.subject("bob"), session=opaque("phone")),
        ALL,
    ),
    "user of another issuer and session": (
        lambda t: complex_subject(
            user=t.subject() | {"iss": "https://idp.example"}, session=opaque("phone")
        ),
        ALL,
    ),
    "user by phone and session": (
        lambda t: complex_subject(user=PHONE, session=opaque("phone")),
        ["laptop", "tablet"],
    ),
    "user by phone": (lambda t: complex_subject(user=PHONE), ALL),
    "user and a session that cannot be read": (
        lambda t: complex_subject(user=t.subject(), session=PHONE),
        ["tablet"],
    ),
    "a session that cannot be read": (lambda t: complex_subject(session=PHONE), ALL),
    "user, device and tenant": (
        lambda t: complex_subject(
            user=t.subject(), device=opaque("d"), tenant=opaque("1"), group="odd"
        ),
        ["tablet"],
    ),
    "device": (lambda t: complex_subject(device=opaque("laptop")), ALL),
    "tenant": (lambda t: complex_subject(tenant=opaque("alice")), ALL),
    "complex of a draft": (
        lambda t: {"user": t.subject(), "session": opaque("phone")},
        ["laptop", "tablet"],
    ),
}


@pytest.mark.parametrize(("make", "expected"), SUBJECTS.values(), ids=SUBJECTS)
def test_subject_names_its_sessions(provider, configure, post, sessions, caplog, make, expected):
    caplog.set_level(logging.DEBUG)
    configure(SIGNALS={"EMAILS": EMAILS})
    transmitter = Transmitter(provider)
    assert post(transmitter.token(sub_id=make(transmitter))) == 202
    assert left(provider) == expected
    ((level, text),) = lines(caplog)
    assert level == ("WARNING" if "SUBJECT_ISSUERS" in text else "INFO")
    for word in ("alice", "laptop", "phone'", "@", "+1"):
        assert word not in text


@pytest.mark.parametrize("subject", ["email", "email of nobody", "user by email"])
def test_email_needs_a_mapping(provider, transmitter, post, sessions, caplog, subject):
    caplog.set_level(logging.INFO)
    assert post(transmitter.token(sub_id=SUBJECTS[subject][0](transmitter))) == 202
    assert left(provider) == ALL
    text = "it is an e-mail address, and EMAILS is not set"
    issuer = provider.issuer
    assert lines(caplog) == [
        (
            "WARNING",
            f"An event of {issuer} names no user or session here (session-revoked): {text}.",
        )
    ]


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("of", ["iss_sub of another issuer", "email"])
def test_alias_that_can_be_configured_is_a_warning(
    provider, transmitter, post, sessions, caplog, of, is_first
):
    identifiers = [SUBJECTS[of][0](transmitter), PHONE]
    subject = alias(*(identifiers if is_first else reversed(identifiers)))
    assert post(transmitter.token(sub_id=subject)) == 202
    ((level, text),) = lines(caplog)
    assert level == "WARNING"
    assert ("EMAILS" if of == "email" else "SUBJECT_ISSUERS") in text


@pytest.mark.parametrize("is_first", [True, False])
def test_alias_of_another_issuer_keeps_the_session(provider, transmitter, post, sessions, is_first):
    identifiers = [SUBJECTS["iss_sub of another issuer"][0](transmitter), email("a@b.example")]
    user = alias(*(identifiers if is_first else reversed(identifiers)))
    assert (
        post(transmitter.token(sub_id=complex_subject(user=user, session=opaque("phone")))) == 202
    )
    assert left(provider) == ALL


def test_faulty_mapping_is_no_fault_of_the_transmitter(provider, configure, post, sessions):
    configure(SIGNALS={"EMAILS": f"{__name__}.find_something_else"})
    assert post(Transmitter(provider).token(sub_id=email("alice@shop.example"))) == 500
    assert left(provider) == ALL


def test_opaque_subject_can_be_a_session(provider, configure, post, sessions):
    configure(SIGNALS={"OPAQUE": "session"})
    transmitter = Transmitter(provider)
    assert post(transmitter.token(sub_id=opaque("alice"))) == 202
    assert left(provider) == ALL
    assert post(transmitter.token(sub_id=opaque("laptop"))) == 202
    assert left(provider) == ["phone", "tablet"]
    # In a complex subject, the name of the member decides.
    assert post(transmitter.token(sub_id=complex_subject(user=opaque("alice")))) == 202
    assert left(provider) == ["tablet"]


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda t: alias(opaque("phone"), t.subject("bob")), ["laptop"]),
        (lambda t: alias(t.subject(), opaque("laptop")), ["tablet"]),
        (lambda t: alias(opaque("4711"), opaque("laptop")), ["phone", "tablet"]),
        # In a complex subject, the name of the member decides.
        (lambda t: complex_subject(user=alias(opaque("laptop"))), ALL),
        (lambda t: complex_subject(user=alias(opaque("alice"))), ["tablet"]),
    ],
)
def test_opaque_alias_can_be_a_session(provider, configure, post, sessions, make, expected):
    configure(SIGNALS={"OPAQUE": "session"})
    transmitter = Transmitter(provider)
    assert post(transmitter.token(sub_id=make(transmitter))) == 202
    assert left(provider) == expected


@pytest.mark.django_db(transaction=True)
def test_sign_in_of_every_alias_ends(provider, transmitter, post):
    now = int(time.time())
    subject = alias(opaque("4711"), transmitter.subject(), transmitter.subject("bob"))
    assert post(transmitter.token(iat=now, sub_id=subject)) == 202
    for sub, expected in [("alice", False), ("bob", False), ("4711", False), ("carol", True)]:
        session = SessionStore()
        session["oidc"] = {"iss": provider.issuer, "sub": sub, "auth_time": now - 9}
        session.save()
        assert Session.objects.filter(subject_id=sub).exists() == expected


def test_other_issuer_of_a_subject_is_shown(provider, transmitter, post, caplog):
    issuer = "https://accounts.example/\n\u202e" + "x" * 200
    assert post(transmitter.token(sub_id=transmitter.subject() | {"iss": issuer})) == 202
    ((level, text),) = lines(caplog)
    assert level == "WARNING"
    assert "its iss is not in SUBJECT_ISSUERS: 'https://accounts.example/\\n\\u202exx" in text
    assert text.isascii()
    assert text.isprintable()
    assert len(text) < 300


@pytest.mark.parametrize("issuers", ["https://accounts.example/", ["https://accounts.example/"]])
def test_subject_can_have_an_issuer_of_its_own(provider, configure, post, sessions, issuers):
    configure(SIGNALS={"SUBJECT_ISSUERS": issuers})
    transmitter = Transmitter(provider)
    assert post(transmitter.token()) == 202
    assert left(provider) == ALL
    subject = transmitter.subject() | {"iss": "https://accounts.example/"}
    assert post(transmitter.token(sub_id=subject)) == 202
    assert left(provider) == ["tablet"]


def test_subject_of_a_critical_member_has_no_effect(provider, configure, post, sessions, caplog):
    caplog.set_level(logging.INFO)
    configure(SIGNALS={"CRITICAL_MEMBERS": ["tenant", "user"]})
    transmitter = Transmitter(provider)
    user = transmitter.subject()
    assert post(transmitter.token(sub_id=complex_subject(user=user, tenant=opaque("1")))) == 202
    assert left(provider) == ALL
    assert "it has a member that is in CRITICAL_MEMBERS" in lines(caplog)[0][1]
    assert post(transmitter.token(sub_id=complex_subject(user=user, device=opaque("1")))) == 202
    assert left(provider) == ["tablet"]


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        (
            complex_subject(user=email("a@b.example"), session=opaque("phone")),
            "it is an e-mail address, and EMAILS is not set",
        ),
        (
            complex_subject(user=PHONE, session=opaque("phone")),
            "its format cannot name a user here",
        ),
        (
            complex_subject(user=opaque("alice"), session=PHONE),
            "it has a member that is in CRITICAL_MEMBERS",
        ),
        (complex_subject(session=PHONE), "it has a member that is in CRITICAL_MEMBERS"),
    ],
    ids=["email", "phone number", "session", "session only"],
)
def test_critical_member_that_is_not_understood_makes_the_event_void(
    provider, configure, post, sessions, caplog, subject, text
):
    caplog.set_level(logging.INFO)
    configure(SIGNALS={"CRITICAL_MEMBERS": ["user", "session"]})
    transmitter = Transmitter(provider)
    assert post(transmitter.token(sub_id=subject)) == 202
    assert left(provider) == ALL
    assert lines(caplog)[0][1].endswith(f"(session-revoked): {text}.")
    good = complex_subject(user=transmitter.subject(), session=opaque("phone"))
    assert post(transmitter.token(sub_id=good)) == 202
    assert left(provider) == ["laptop", "tablet"]


@pytest.mark.parametrize(("uri", "payload"), named(ENDING))
def test_event_of_an_account_ends_all_its_sessions(
    provider, transmitter, post, sessions, uri, payload
):
    subject = complex_subject(user=transmitter.subject(), session=opaque("phone"))
    assert post(transmitter.token(uri, payload, sub_id=subject)) == 202
    is_of_session = uri in (SESSION_REVOKED, f"{CAEP}token-claims-change")
    assert left(provider) == (["laptop", "tablet"] if is_of_session else ["tablet"])


SESSIONS_ONLY = {
    "complex": complex_subject(session=opaque("phone")),
    "opaque": opaque("phone"),
    "user who is not found": complex_subject(user=email("a@b.example"), session=opaque("phone")),
}


@pytest.mark.parametrize(("uri", "payload"), named(ENDING))
@pytest.mark.parametrize("subject", SESSIONS_ONLY.values(), ids=SESSIONS_ONLY)
def test_event_of_an_account_that_names_a_session_ends_all_of_its_user(
    provider, configure, post, sessions, uri, payload, subject
):
    configure(SIGNALS={"OPAQUE": "session"})
    assert post(Transmitter(provider).token(uri, payload, sub_id=subject)) == 202
    is_of_session = uri in (SESSION_REVOKED, f"{CAEP}token-claims-change")
    assert left(provider) == (["laptop", "tablet"] if is_of_session else ["tablet"])


def test_repetition_of_an_interrupted_event_ends_all_of_the_user(
    provider, transmitter, client, post, sessions, monkeypatch
):
    def delete(filter, **kwargs):
        Session.objects.filter(key=store.get_user_sessions(filter)[0].key).delete()
        raise StoreUnavailable

    store = get_store()
    token = transmitter.token(
        f"{RISC}account-disabled", sub_id=complex_subject(session=opaque("phone"))
    )
    with monkeypatch.context() as patched:
        patched.setattr(store, "delete_user_sessions", delete)
        assert post(token) == 503
    assert left(provider) == ["phone", "tablet"]
    assert post(token) == 202
    assert left(provider) == ["tablet"]


def test_user_and_session_end_sessions_of_the_user_without_a_sid(
    provider, transmitter, post, sessions
):
    SessionFactory(issuer=provider.issuer, session_id=make_session_id())
    bobs = SessionFactory(issuer=provider.issuer, subject_id="bob", session_id=make_session_id())
    subject = complex_subject(user=transmitter.subject(), session=opaque("laptop"))
    assert post(transmitter.token(sub_id=subject)) == 202
    assert left(provider) == [bobs.session_id, "phone", "tablet"]


def test_subject_may_be_in_the_event(provider, transmitter, post, sessions):
    payload = {"subject": transmitter.subject()}
    assert post(transmitter.token(SESSION_REVOKED, payload, without=["sub_id"])) == 202
    assert left(provider) == ["tablet"]


def test_subject_of_the_token_wins(provider, transmitter, post, sessions):
    payload = {"subject": transmitter.subject("bob")}
    assert post(transmitter.token(SESSION_REVOKED, payload)) == 202
    assert left(provider) == ["tablet"]


# Good tokens


GOOD = {
    "aud is a list": {"aud": ["another", "shop"]},
    "unknown claims": {"txn": "8675309", "toe": 1508184845, "more": {"a": [1]}},
    "iat with a fraction": {"iat": time.time() - 0.5},
    "iat within the leeway": {"iat": int(time.time()) + 30},
    "iat of six days ago": {"iat": int(time.time()) - 6 * 24 * 60 * 60},
    "a long jti": {"jti": "ü" * 1000},
    "a jti with a NUL": {"jti": "a\0"},
    "a jti with half a character": {"jti": "\ud800"},
}


@pytest.mark.parametrize("changes", GOOD.values(), ids=GOOD)
def test_token_is_accepted(provider, transmitter, post, sessions, changes):
    assert post(transmitter.token(**changes)) == 202
    assert left(provider) == ["tablet"]


@pytest.mark.parametrize("algorithm", KEYS)
def test_every_kind_of_key_signs(provider, transmitter, post, sessions, algorithm):
    assert post(transmitter.token(algorithm=algorithm)) == 202
    assert left(provider) == ["tablet"]


def test_answer_is_empty(transmitter, client):
    response = client.post(reverse("bff_sessions:signals"), transmitter.token(), CONTENT_TYPE)
    assert (response.status_code, response.content) == (202, b"")


def test_sessions_of_all_partitions_end(provider, transmitter, post):
    for partition in ("default", "shop"):
        SessionFactory(issuer=provider.issuer, partition=partition)
    assert post(transmitter.token()) == 202
    assert not Session.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_signal_has_the_reason_and_the_provider(provider, transmitter, post, sessions):
    told = []

    def receiver(sessions, reason, actor, **kwargs):
        told.extend((session.session_id, reason, actor) for session in sessions)

    sessions_ended.connect(receiver)
    try:
        post(transmitter.token(sub_id=transmitter.subject("bob")))
    finally:
        sessions_ended.disconnect(receiver)
    assert told == [("tablet", EndReason.SECURITY_EVENT, Actor.of_provider(provider.issuer))]


# Events about the stream


@pytest.mark.parametrize("uri", [f"{SSF}verification", f"{RISC}verification"])
@pytest.mark.parametrize(
    ("options", "payload"),
    [
        ({}, {}),
        ({}, {"state": "any"}),
        ({"STATE": "given"}, {}),
        ({"STATE": "given"}, {"state": None}),
        ({"STATE": "given"}, {"state": "given"}),
        ({"STATE": ["new", "given"]}, {"state": "given"}),
    ],
    ids=str,
)
def test_stream_is_verified(provider, configure, post, sessions, caplog, uri, options, payload):
    caplog.set_level(logging.INFO)
    configure(SIGNALS=options)
    token = Transmitter(provider).token(uri, payload, sub_id=opaque("stream"))
    assert (post(token), post(token)) == (202, 202)
    assert lines(caplog) == [("INFO", f"The stream of {provider.issuer} is verified.")] * 2
    assert left(provider) == ALL


@pytest.mark.parametrize(
    ("status", "level", "shown"),
    [
        ("enabled", "INFO", "enabled"),
        ("paused", "WARNING", "paused"),
        ("disabled", "WARNING", "disabled"),
        ("broken\n", "WARNING", "unknown"),
        (None, "WARNING", "unknown"),
        (["enabled"], "WARNING", "unknown"),
    ],
)
def test_status_of_the_stream_is_logged(provider, transmitter, post, caplog, status, level, shown):
    caplog.set_level(logging.INFO)
    payload = {"status": status, "reason": "a reason"}
    assert post(transmitter.token(f"{SSF}stream-updated", payload, sub_id=opaque("s"))) == 202
    text = f"The transmitter {provider.issuer} has set its stream to: {shown}."
    assert lines(caplog) == [(level, text)]


# Once only


def test_repeated_token_gets_the_same_answer_and_ends_nothing(
    provider, transmitter, post, sessions, caplog
):
    caplog.set_level(logging.INFO)
    token = transmitter.token()
    assert post(token) == 202
    SessionFactory(issuer=provider.issuer, session_id="later")
    assert post(token) == 202
    assert left(provider) == ["later", "tablet"]
    assert lines(caplog) == [
        (
            "INFO",
            f"An event of {provider.issuer} was accepted (session-revoked). Sessions ended: 2.",
        ),
        ("INFO", f"An event of {provider.issuer} was handled before: session-revoked."),
    ]


def test_logout_token_may_use_the_same_jti(provider, transmitter, post, sessions, client):
    form = urlencode({"logout_token": provider.token(jti="1")})
    url = reverse("bff_sessions:backchannel-logout")
    assert client.post(url, form, "application/x-www-form-urlencoded").status_code == 200
    assert left(provider) == ["phone", "tablet"]
    assert post(transmitter.token(jti="1")) == 202
    assert left(provider) == ["tablet"]


def test_two_transmitters_may_use_the_same_jti(
    provider, another_provider, settings, post, sessions
):
    providers = settings.BFF_SESSIONS["PROVIDERS"]
    for each in providers.values():
        each["SIGNALS"] = {}
    settings.BFF_SESSIONS = {"PROVIDERS": providers}
    other = Transmitter(another_provider, audience="shop-2")
    SessionFactory(issuer=another_provider.issuer, session_id="elsewhere")
    assert post(other.token(jti="1")) == 202
    assert not Session.objects.filter(issuer=another_provider.issuer).exists()
    assert post(Transmitter(provider).token(jti="1")) == 202
    assert not Session.objects.filter(issuer=provider.issuer, subject_id="alice").exists()
    assert Session.objects.filter(issuer="https://idp.example").exists()


def test_transmitter_ends_sessions_of_its_provider_only(
    provider, another_provider, settings, post, sessions, caplog
):
    caplog.set_level(logging.INFO)
    providers = settings.BFF_SESSIONS["PROVIDERS"]
    providers[another_provider.issuer]["SIGNALS"] = {}
    settings.BFF_SESSIONS = {"PROVIDERS": providers}
    other = Transmitter(another_provider, audience="shop-2")
    for subject in (
        Transmitter(provider).subject(),
        opaque("alice"),
        complex_subject(session=opaque("laptop")),
        complex_subject(user=Transmitter(provider).subject(), session=opaque("laptop")),
    ):
        assert post(other.token(sub_id=subject)) == 202
    assert left(provider) == ALL
    assert "its iss is not in SUBJECT_ISSUERS" in caplog.text


def test_after_a_failure_of_ours_the_same_token_works(
    provider, transmitter, post, sessions, monkeypatch
):
    def fail(filter, **kwargs):
        raise DatabaseError("a fault of the database")

    token = transmitter.token()
    with monkeypatch.context() as patch:
        patch.setattr(handling, "revoke_sessions", fail)
        assert [post(token) for _ in range(2)] == [500, 500]
    assert left(provider) == ALL
    assert post(token) == 202
    assert left(provider) == ["tablet"]


@pytest.mark.parametrize("error", [StoreUnavailable(), RevocationUnconfirmed([])])
def test_event_that_is_not_certain_is_sent_again(
    provider, transmitter, client, sessions, monkeypatch, error, caplog
):
    token, url = transmitter.token(), reverse("bff_sessions:signals")
    with monkeypatch.context() as patched:
        patched.setattr(get_store(), "delete_user_sessions", mock.Mock(side_effect=error))
        response = client.post(url, token, CONTENT_TYPE)
    assert (response.status_code, response["Retry-After"], response.content) == (503, "10", b"")
    assert response["Cache-Control"] == "no-store"
    assert lines(caplog)[0][0] == "ERROR"
    assert client.post(url, token, CONTENT_TYPE).status_code == 202
    assert left(provider) == ["tablet"]


FAULTS = ROLLED_BACK | LOST


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("make", FAULTS.values(), ids=FAULTS)
def test_event_during_an_outage_of_the_database_is_sent_again(
    provider, transmitter, client, sessions, monkeypatch, caplog, make
):
    monkeypatch.setattr(retrying.time, "sleep", lambda seconds: None)
    token, url = transmitter.token(), reverse("bff_sessions:signals")
    with Fault(make, times=99)():
        response = client.post(url, token, CONTENT_TYPE)
    assert (response.status_code, response["Retry-After"], response.content) == (503, "10", b"")
    ((name, text),) = errors(caplog)
    assert name == "bff_sessions.signals"
    assert text.startswith("A security event could not be carried out. The database ")
    assert client.post(url, token, CONTENT_TYPE).status_code == 202
    assert left(provider) == ["tablet"]


def find_by_email_during_an_outage(address):
    with connection.wrap_database_errors:
        raise next(iter(LOST.values()))()


def test_outage_of_the_database_of_emails_asks_for_the_token_again(
    provider, configure, post, sessions, caplog
):
    configure(SIGNALS={"EMAILS": f"{__name__}.find_by_email_during_an_outage"})
    assert post(Transmitter(provider).token(sub_id=email("alice@shop.example"))) == 503
    ((_, text),) = lines(caplog)
    assert text.startswith("A security event could not be carried out. The database cannot be ")
    assert "alice" not in text


@pytest.mark.django_db(transaction=True)
def test_missing_table_is_an_error_for_the_operator(
    provider, transmitter, post, sessions, monkeypatch
):
    monkeypatch.setattr(Logout._meta, "db_table", "not_there")
    assert post(transmitter.token()) == 500
    assert left(provider) == ALL


def test_transmitter_whose_keys_are_down_sends_again(
    provider, transmitter, client, sessions, clock, caplog
):
    token, url = transmitter.token(), reverse("bff_sessions:signals")
    provider.answers["/keys"] = (500, {}, b"")
    response = client.post(url, token, CONTENT_TYPE)
    assert (response.status_code, response["Retry-After"], response.content) == (503, "10", b"")
    ((level, text),) = lines(caplog)
    assert level == "ERROR"
    assert text.startswith("A security event could not be verified. The keys of ")
    del provider.answers["/keys"]
    clock.advance(10)
    assert client.post(url, token, CONTENT_TYPE).status_code == 202
    assert left(provider) == ["tablet"]


def test_outage_of_a_transmitter_is_one_error(provider, transmitter, post, caplog):
    caplog.set_level(logging.INFO, "bff_sessions.signals")
    provider.answers["/keys"] = (500, {}, b"")
    assert [post(transmitter.token()) for _ in range(5)] == [503] * 5
    text = (
        f"A security event could not be verified. The keys of {provider.issuer} cannot be used. "
        "The provider answered with status 500."
    )
    assert errors(caplog) == [("bff_sessions.signals", text)]
    again = f"{text} The request failed recently and is not repeated yet."
    assert lines(caplog) == [("ERROR", text), *[("INFO", again)] * 4]


def test_outage_of_the_store_is_one_error(
    provider, transmitter, post, sessions, monkeypatch, caplog
):
    fail = mock.Mock(side_effect=StoreUnavailable)
    monkeypatch.setattr(get_store(), "delete_user_sessions", fail)
    token = transmitter.token()
    assert [post(token) for _ in range(5)] == [503] * 5
    text = f"A security event could not be carried out. {StoreUnavailable()}"
    assert errors(caplog) == [("bff_sessions.signals", text)]


def test_unknown_key_soon_after_another_is_only_a_warning(provider, transmitter, client, caplog):
    url = reverse("bff_sessions:signals")
    for kid in ("first", "second"):
        response = client.post(url, transmitter.token(headers={"kid": kid}), CONTENT_TYPE)
    assert (response.status_code, response["Retry-After"]) == (503, "30")
    assert [level for level, _ in lines(caplog)] == ["WARNING", "WARNING"]
    assert errors(caplog) == []


def test_of_two_deliveries_at_the_same_time_both_are_accepted(
    provider, transmitter, post, sessions, monkeypatch
):
    token, answers = transmitter.token(), []
    real = handling.revoke_sessions

    def meanwhile(filter, **kwargs):
        monkeypatch.undo()
        answers.append(post(token))
        return real(filter, **kwargs)

    monkeypatch.setattr(handling, "revoke_sessions", meanwhile)
    answers.append(post(token))
    assert answers == [202, 202]
    assert left(provider) == ["tablet"]


def test_what_is_remembered_says_nothing_of_anybody(provider, transmitter, post):
    post(transmitter.token(jti="a jti"))
    said = str(list(Logout.objects.values()))
    for word in ("alice", "laptop", "a jti", provider.issuer):
        assert word not in said


def test_it_is_remembered_until_the_token_is_refused(provider, configure, post, monkeypatch):
    configure(SIGNALS={"MAX_AGE": 3600, "LEEWAY": 10})
    issued = int(time.time()) - 60
    token = Transmitter(provider).token(iat=issued)
    assert post(token) == 202
    expires = Logout.objects.get().expires
    assert expires == datetime.fromtimestamp(issued + 3610, UTC)
    now = "bff_sessions.oidc.shared_signals.tokens.time.time"
    monkeypatch.setattr(now, lambda: expires.timestamp() - 1)
    assert post(token) == 202
    monkeypatch.setattr(now, lambda: expires.timestamp())
    assert post(token) == 400


def test_it_is_remembered_for_as_long_as_somebody_may_be_signing_in(provider, configure, post):
    configure(SIGNALS={"MAX_AGE": 0, "LEEWAY": 5})
    before = datetime.now(UTC)
    assert post(Transmitter(provider).token()) == 202
    assert Logout.objects.get().expires >= before + timedelta(minutes=2)


# Around it


def test_no_session_is_touched(transmitter, django_assert_num_queries):
    session = SessionStore()
    session["a"] = 1
    session.save()
    client = Client()
    client.cookies[project.SESSION_COOKIE_NAME] = session.session_key
    with django_assert_num_queries(0):
        response = client.post(reverse("bff_sessions:signals"), "no token", CONTENT_TYPE)
    assert not response.has_header("Vary")
    assert not response.cookies


def test_ignored_event_costs_no_statement(transmitter, post, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert post(transmitter.token(f"{SSF}verification")) == 202
        assert post(transmitter.token(f"{RISC}opt-in")) == 202
        assert post(transmitter.token(sub_id=PHONE)) == 202


def test_few_statements(transmitter, post, sessions):
    post(transmitter.token(f"{SSF}verification"))
    with CaptureQueriesContext(connection) as queries:
        subject = complex_subject(session=opaque("laptop"))
        assert post(transmitter.token(sub_id=subject)) == 202
    verbs = [query["sql"].split()[0] for query in queries]
    # As a logout: see test_backchannel_logout.py.
    expected = ["SELECT", "INSERT", "SELECT", "SELECT", "DELETE", "SELECT", "UPDATE"]
    if connection.vendor == "sqlite":
        expected.insert(3, "UPDATE")
    assert [verb for verb in verbs if verb not in ("SAVEPOINT", "RELEASE")] == expected


@pytest.mark.parametrize(
    "middleware",
    [
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
    ],
)
def test_middleware_of_the_project_is_not_in_the_way(transmitter, settings, post, middleware):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, middleware]
    assert post(transmitter.token()) == 202


def test_asynchronous_deployments_are_served(provider, transmitter, sessions):
    post = async_to_sync(AsyncClient().post)
    assert (
        post(reverse("bff_sessions:signals"), transmitter.token(), CONTENT_TYPE).status_code == 202
    )
    assert left(provider) == ["tablet"]


def test_nothing_of_an_accepted_token_is_logged(provider, transmitter, post, sessions, caplog):
    caplog.set_level(logging.DEBUG)
    token = transmitter.token(jti="some jti", txn="some txn")
    post(token)
    post(token)
    said = "".join(record.getMessage() for record in caplog.records if "factory" not in record.name)
    for part in [*token.split("."), "alice", "laptop", "some jti", "some txn"]:
        assert part not in said


# Transactions


@pytest.mark.django_db(transaction=True)
def test_atomic_requests_do_not_hide_what_others_have_to_see(
    provider, transmitter, post, monkeypatch
):
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    seen = []
    real = handling.revoke_sessions

    def look(filter, **kwargs):
        seen.append((connection.in_atomic_block, Logout.objects.count()))
        return real(filter, **kwargs)

    monkeypatch.setattr(handling, "revoke_sessions", look)
    assert post(transmitter.token()) == 202
    assert seen == [(False, 1)]


def test_no_database_has_it_in_a_transaction():
    assert signals._non_atomic_requests == set(project.DATABASES)


@pytest.mark.django_db(transaction=True)
def test_inside_a_transaction_it_says_so(provider, transmitter):
    SessionFactory(issuer=provider.issuer)
    signal = verify_signal(transmitter.token(), "")
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
        handle(signal)
    assert Session.objects.count() == 1
    assert not Logout.objects.exists()


# A sign-in that an event overtakes


KEEPS_SIGN_IN = ["token-claims-change", "credential-change", "device-compliance-change"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("event", [*KEEPS_SIGN_IN, "session-revoked"])
@pytest.mark.parametrize("is_session", [True, False], ids=["session", "user"])
@pytest.mark.parametrize(
    ("claims", "is_new"),
    [
        ({"auth_time": -3600, "iat": 1}, True),
        ({"auth_time": -3600, "iat": 0}, False),
        ({"auth_time": -3600, "iat": -1}, False),
        ({"auth_time": -3600}, False),
    ],
    ids=["after", "at once", "before", "unknown"],
)
def test_new_id_token_of_an_older_sign_in_is_accepted_after_some_events(
    provider, configure, post, event, is_session, claims, is_new
):
    # Otherwise the user, who is still signed in at the provider, would return in a circle.
    configure(SIGNALS={"ACTIONS": {"device-compliance-change": "end"}})
    transmitter, now = Transmitter(provider), int(time.time())
    member = {"session": opaque("laptop")} if is_session else {"user": transmitter.subject()}
    token = transmitter.token(f"{CAEP}{event}", iat=now, sub_id=complex_subject(**member))
    assert post(token) == 202
    session = SessionStore()
    person = {"iss": provider.issuer, "sub": "alice", "sid": "laptop"}
    session["oidc"] = person | {name: now + moment for name, moment in claims.items()}
    session.save()
    assert Session.objects.exists() == (is_new and event in KEEPS_SIGN_IN)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("event", "stays"),
    [(SESSION_REVOKED, False), (f"{RISC}account-disabled", False), (None, True)],
    ids=["session", "account", "only one that keeps it"],
)
def test_one_of_several_events_can_make_the_sign_in_doubtful(
    provider, transmitter, post, event, stays
):
    now = int(time.time())
    events = {f"{CAEP}credential-change": {"change_type": "update"}}
    events |= {f"{CAEP}token-claims-change": {}} if event is None else {event: {}}
    assert post(transmitter.token(events=events, iat=now)) == 202
    session = SessionStore()
    person = {"iss": provider.issuer, "sub": "alice", "sid": "laptop"}
    session["oidc"] = person | {"auth_time": now - 3600, "iat": now + 1}
    session.save()
    assert Session.objects.exists() == stays


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("subject", "claims", "stays"),
    [
        (lambda t: t.subject(), {"auth_time": -10}, False),
        (lambda t: t.subject(), {"auth_time": 1}, True),
        (lambda t: t.subject("bob"), {"auth_time": -10}, True),
        (lambda t: complex_subject(session=opaque("laptop")), {"auth_time": 1}, False),
        (lambda t: complex_subject(session=opaque("phone")), {"auth_time": -10}, True),
    ],
    ids=["before", "after", "another user", "session", "another session"],
)
def test_sign_in_on_its_way_ends(provider, transmitter, post, subject, claims, stays):
    now = int(time.time())
    assert post(transmitter.token(iat=now, sub_id=subject(transmitter))) == 202
    session = SessionStore()
    person = {"iss": provider.issuer, "sub": "alice", "sid": "laptop"}
    session["oidc"] = person | {name: now + moment for name, moment in claims.items()}
    session.save()
    assert Session.objects.exists() == stays


def test_request_that_breaks_off_is_no_fault_of_this_site(transmitter, rf, caplog):
    caplog.set_level("INFO", "django.request")
    request = rf.post("/bff/signals", transmitter.token(), CONTENT_TYPE)
    request._stream = mock.Mock(read=mock.Mock(side_effect=OSError("secret")))
    response = signals(request)
    assert (response.status_code, response.content) == (503, b"")
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "secret" not in caplog.text
