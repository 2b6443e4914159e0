import json
import logging
import re
from types import MappingProxyType

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import alogin, login, logout
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.utils.safestring import mark_safe
from hypothesis import example, given
from hypothesis import strategies as st

from bff_sessions import Identity, abind_identity, bind_identity, conf
from bff_sessions.contract import UserSessionUpdate
from bff_sessions.engine import SessionStore
from bff_sessions.identity import ANONYMOUS, resolve_identity
from bff_sessions.identity.id_tokens import read_claims
from bff_sessions.identity.session_ids import (
    is_own_session_id,
    make_moved_session_id,
    make_session_id,
)
from bff_sessions.models import Session
from bff_sessions.protection import store_key
from bff_sessions.stores import get_store
from bff_sessions.testing import altered
from tests.support.factories import UserFactory, ago
from tests.support.id_tokens import encode, id_token
from tests.support.sessions import request_with

CLAIMS = {"iss": "https://idp.example", "sub": "alice", "sid": "5"}
ALICE = Identity(issuer="https://idp.example", subject_id="alice", session_id="5")
BLANKS = ["", " ", "\t\n", None, 0, 7, True, ["alice"], {"sub": "alice"}, b"alice"]


def row_of(session):
    return Session.objects.get(key=store_key(conf.PARTITION, session.session_key))


def reopened(session):
    """What the next request gets."""
    return SessionStore(session.session_key)


def let_have_begun(session, moment):
    """Let `session` have begun at `moment`."""
    row = get_store().get_user_session(session.store_key)
    older = altered(row, created=moment, renewed=moment)
    get_store().update_user_session(row.key, UserSessionUpdate.of(older))


def resolve_tenant(data):
    if "tenant" not in data:
        return Identity()
    return Identity(issuer="own", subject_id=data["tenant"], session_id="s", user_id="u")


def resolve_to_dict(data):
    return {"subject_id": "alice"}


def resolve_to_nothing(data):
    return None


# The four sources


@pytest.mark.parametrize("name", ["issuer", "session_id", "user_id"])
def test_an_identity_without_subject_is_refused(name):
    with pytest.raises(ValueError, match="subject_id"):
        Identity(**{name: "x"})


def test_nobody_is_in_empty_data():
    assert resolve_identity({}) == ANONYMOUS == Identity()


def test_the_user_of_django_is_a_subject_without_issuer():
    assert resolve_identity({"_auth_user_id": "42"}) == Identity(subject_id="42", user_id="42")


def test_a_user_id_that_is_no_text_becomes_text():
    assert resolve_identity({"_auth_user_id": 42}) == Identity(subject_id="42", user_id="42")


def test_claims_under_oidc_name_the_subject():
    assert resolve_identity({"oidc": CLAIMS}) == ALICE


def test_claims_win_over_the_user_of_django():
    identity = resolve_identity({"oidc": CLAIMS, "_auth_user_id": "42"})
    assert identity == Identity(
        issuer="https://idp.example", subject_id="alice", session_id="5", user_id="42"
    )


def test_a_bound_identity_wins_over_claims_and_the_user_of_django():
    data = {"oidc": CLAIMS, "_auth_user_id": "42"}
    bind_identity(request_with(data), issuer="https://b.example", subject_id="bob")
    assert resolve_identity(data) == Identity(
        issuer="https://b.example", subject_id="bob", session_id=None, user_id="42"
    )


def test_a_bound_identity_needs_neither_issuer_nor_session_id():
    data = {}
    bind_identity(request_with(data), subject_id="bob")
    assert resolve_identity(data) == Identity(subject_id="bob")


def test_claims_may_be_any_mapping():
    assert resolve_identity({"oidc": MappingProxyType(CLAIMS)}) == ALICE


def test_other_claims_do_not_matter():
    assert resolve_identity({"oidc": {**CLAIMS, "aud": ["bff"], 1: 2}}) == ALICE


def test_a_subject_is_kept_to_the_letter():
    data = {"oidc": {**CLAIMS, "sub": " Alice "}}
    assert resolve_identity(data).subject_id == " Alice "


@pytest.mark.parametrize("oidc", [None, "alice", b"alice", 1, ["sub", "alice"], [CLAIMS], True])
def test_what_is_no_mapping_under_oidc_is_passed_over(oidc):
    assert resolve_identity({"oidc": oidc}) == ANONYMOUS
    assert resolve_identity({"oidc": oidc, "_auth_user_id": "42"}).subject_id == "42"


@pytest.mark.parametrize("name", ["iss", "sub"])
@pytest.mark.parametrize("blank", BLANKS)
def test_claims_with_a_blank_issuer_or_subject_are_passed_over(name, blank):
    data = {"oidc": {**CLAIMS, name: blank}}
    assert resolve_identity(data) == ANONYMOUS
    assert resolve_identity({**data, "_auth_user_id": "42"}).subject_id == "42"


@pytest.mark.parametrize("name", ["iss", "sub"])
def test_claims_without_issuer_or_subject_are_passed_over(name):
    claims = {other: value for other, value in CLAIMS.items() if other != name}
    assert resolve_identity({"oidc": claims}) == ANONYMOUS


@pytest.mark.parametrize("blank", BLANKS)
def test_a_blank_session_id_is_none(blank):
    assert resolve_identity({"oidc": {**CLAIMS, "sid": blank}}).session_id is None


def test_a_missing_session_id_is_none():
    identity = resolve_identity({"oidc": {"iss": "https://idp.example", "sub": "alice"}})
    assert identity == Identity(issuer="https://idp.example", subject_id="alice")


def test_claims_are_found_under_the_key_of_the_settings(settings):
    settings.BFF_SESSIONS = {"CLAIMS_KEY": "claims"}
    assert resolve_identity({"claims": CLAIMS}) == ALICE
    assert resolve_identity({"oidc": CLAIMS}) == ANONYMOUS


@pytest.mark.parametrize("name", ["iss", "sub", "sid"])
def test_a_claim_too_long_to_be_kept_is_refused_not_cut(name):
    with pytest.raises(ValueError, match="256"):
        resolve_identity({"oidc": {**CLAIMS, name: "x" * 256}})
    resolve_identity({"oidc": {**CLAIMS, name: "x" * 255}})


# The id token of mozilla-django-oidc


NO_TOKENS = [
    "",
    "alice",
    "..",
    "a.b.c",
    "a.b.c.d.e",  # Encrypted.
    id_token(CLAIMS) + ".",
    id_token(CLAIMS).replace(".", ".!!!!", 1),
    id_token("alice"),
    id_token([CLAIMS]),
    f"h.{encode(b'{')}.s",
    f"h.{encode(b'[' * 100_000)}.s",
    f"h.{encode(json.dumps(CLAIMS).encode('utf-16'))}.s",
    f"h.{encode(bytes([255]))}.s",
    f"h.{encode('1' * 5000)}.s",
    "h.\u00e9.s",
    *(
        f"{header}.{claims}.s"
        for loose in (
            lambda text: f"{encode(text + ' ' * ((1 - len(text)) % 3))}==",
            *(
                lambda text, e=encoding: encode(text.encode(e))
                for encoding in ("utf-8-sig", "utf-16", "utf-16-le", "utf-32", "utf-32-be")
            ),
            lambda text: encode(f'{{"sub": "eve", "sub": "eve", {text[1:]}'),
        )
        for header, claims in (
            (encode('{"alg": "RS256"}'), loose(json.dumps(CLAIMS))),
            (loose('{"alg": "RS256"}'), encode(json.dumps(CLAIMS))),
        )
    ),
    id_token(CLAIMS) + "==",
    id_token({**CLAIMS, "sub": ">>>???"}).replace("-", "+").replace("_", "/"),
    id_token(CLAIMS).encode(),
    {"iss": "https://idp.example"},
    7,
]
NOBODYS = [
    {},
    {"sub": "alice"},
    {"iss": "https://idp.example"},
    {**CLAIMS, "sub": ""},
    {**CLAIMS, "iss": 1},
    {**CLAIMS, "sub": "x" * 256},
    {**CLAIMS, "sid": "a\0b"},
    {**CLAIMS, "sub": "\ud800"},
]


def test_an_id_token_names_the_subject():
    identity = resolve_identity({"oidc_id_token": id_token(CLAIMS), "_auth_user_id": "42"})
    assert identity == Identity(
        issuer="https://idp.example", subject_id="alice", session_id="5", user_id="42"
    )


@pytest.mark.parametrize("sub", ["a", "al", "ali", "\u00e9\u20ac", ">>>???"])
def test_an_id_token_of_any_length_and_alphabet_is_read(sub):
    assert resolve_identity({"oidc_id_token": id_token({**CLAIMS, "sub": sub})}).subject_id == sub


def test_an_id_token_without_sid_will_do():
    claims = {"iss": "https://idp.example", "sub": "alice"}
    assert resolve_identity({"oidc_id_token": id_token(claims)}) == Identity(
        issuer="https://idp.example", subject_id="alice"
    )


def test_an_id_token_that_has_expired_still_counts():
    assert resolve_identity({"oidc_id_token": id_token({**CLAIMS, "exp": 1})}) == ALICE


def test_claims_and_a_bound_identity_win_over_an_id_token():
    data = {"oidc_id_token": id_token({**CLAIMS, "sub": "bob"}), "oidc": CLAIMS}
    assert resolve_identity(data) == ALICE
    bind_identity(request_with(data), subject_id="carol")
    assert resolve_identity(data).subject_id == "carol"


@pytest.mark.parametrize("token", [*NO_TOKENS, *map(id_token, NOBODYS)])
def test_an_id_token_that_names_nobody_is_passed_over_and_logged(token, caplog):
    assert resolve_identity({"oidc_id_token": token, "_auth_user_id": "42"}) == Identity(
        subject_id="42", user_id="42"
    )
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("bff_sessions.identity", logging.WARNING)
    assert record.exc_info is None
    for part in str(token).split("."):
        assert len(part) < 3 or part not in record.getMessage()


@pytest.mark.parametrize("token", NO_TOKENS)
def test_no_error_quotes_the_token(token):
    with pytest.raises(ValueError, match="not a signed JSON Web Token") as caught:
        read_claims(token)
    assert str(caught.value) == "it is not a signed JSON Web Token"
    assert caught.value.__context__ is None


def test_no_id_token_is_nothing_to_log(caplog):
    assert resolve_identity({"oidc_id_token": None}) == ANONYMOUS
    assert caplog.records == []


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda values: st.lists(values) | st.dictionaries(st.text(), values),
    max_leaves=10,
)
claims_or_not = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("iss", "sub", "sid", "auth_time", "iat"), st.text() | json_values)
)


@given(
    json_values
    | st.binary()
    | st.builds(".".join, st.lists(st.text() | st.binary().map(encode)))
    | st.builds("h.{}.s".format, st.binary().map(encode))
    | st.builds(id_token, json_values | claims_or_not)
)
@example(id_token(CLAIMS))
def test_whatever_is_there_instead_of_an_id_token_raises_nothing(token):
    identity = resolve_identity({"oidc_id_token": token, "_auth_user_id": "42"})
    assert identity.user_id == "42"
    assert identity.issuer is not None or identity.subject_id == "42"


@pytest.mark.django_db
def test_an_id_token_that_another_replaces_moves_the_session_to_a_new_key():
    session = SessionStore()
    session["cart"] = 1
    session.save()
    for sub in ("alice", "bob"):
        before, session = session.session_key, reopened(session)
        session["oidc_id_token"] = id_token({**CLAIMS, "sub": sub})
        session.save()
        assert session.session_key != before
        assert not SessionStore(before).exists(before)
        row = row_of(session)
        assert (row.issuer, row.subject_id, row.session_id) == ("https://idp.example", sub, "5")


@pytest.mark.django_db
def test_an_id_token_with_another_sid_is_the_session_of_that_sid():
    session = SessionStore()
    for sid in ("5", "6"):
        session["oidc_id_token"] = id_token({**CLAIMS, "sid": sid})
        session.save()
        assert row_of(session).session_id == sid
        session = reopened(session)
    assert Session.objects.count() == 1


# Signed in without a provider, in a project that has one


@pytest.fixture
def with_provider(settings, db):
    settings.BFF_SESSIONS = {"PROVIDERS": {"https://idp.example": {}}}


def warnings(caplog):
    return [
        record.getMessage() for record in caplog.records if record.name == "bff_sessions.identity"
    ]


@pytest.mark.parametrize("sign_in", [login, async_to_sync(alogin)])
def test_who_signs_in_without_a_provider_is_logged_once(with_provider, caplog, sign_in):
    user, session = UserFactory(), SessionStore()
    session["cart"] = 1
    session.save()
    assert warnings(caplog) == []
    session = reopened(session)
    sign_in(request_with(session), user)
    session.save()
    (warning,) = warnings(caplog)
    public_id = get_store().get_user_session(session.store_key).public_id
    assert f"User {user.pk} " in warning
    assert public_id in warning
    assert session.session_key not in warning
    assert session.store_key not in warning
    session = reopened(session)
    session["cart"] = 2
    session.save()
    session.cycle_key()
    assert len(warnings(caplog)) == 1


def test_who_signs_in_anew_without_a_provider_is_logged_again(with_provider, caplog):
    session = SessionStore()
    for user in (UserFactory(), UserFactory()):
        login(request_with(session), user)
        session.save()
    assert len(warnings(caplog)) == 2


def test_a_session_that_loses_its_provider_is_logged(with_provider, caplog):
    session = SessionStore()
    login(request_with(session), UserFactory())
    session["oidc"] = CLAIMS
    session.save()
    assert warnings(caplog) == []
    del session["oidc"]
    session.save()
    assert len(warnings(caplog)) == 1


@pytest.mark.parametrize("is_late", [False, True])
def test_who_signs_in_at_the_provider_is_not_logged(with_provider, caplog, is_late):
    session = SessionStore()
    if not is_late:
        session["oidc_id_token"] = id_token(CLAIMS)
    login(request_with(session), UserFactory())
    if is_late:
        session["oidc"] = CLAIMS
    session.save()
    assert row_of(session).issuer == "https://idp.example"
    assert warnings(caplog) == []


def test_a_subject_that_is_no_user_is_not_logged(with_provider, caplog):
    session = SessionStore()
    bind_identity(request_with(session), subject_id="the kiosk")
    session.save()
    assert warnings(caplog) == []


@pytest.mark.django_db
def test_in_a_project_without_provider_nobody_is_logged(caplog):
    session = SessionStore()
    login(request_with(session), UserFactory())
    session.save()
    assert warnings(caplog) == []


# bind_identity()


@pytest.mark.parametrize("name", ["issuer", "subject_id", "session_id"])
@pytest.mark.parametrize("value", ["x" * 256, "", " \t", "a\0b", "\ud800"])
def test_what_cannot_be_kept_is_refused_before_anything_is_stored(name, value):
    data = {}
    claims = {"issuer": "i", "subject_id": "s", "session_id": "5", name: value}
    with pytest.raises(ValueError, match=name) as caught:
        bind_identity(request_with(data), **claims)
    assert data == {}
    if value:
        assert value not in str(caught.value)


@pytest.mark.parametrize("name", ["issuer", "subject_id", "session_id"])
@pytest.mark.parametrize("value", [1, b"alice", ["alice"], True])
def test_what_is_no_text_is_refused_before_anything_is_stored(name, value):
    data = {}
    with pytest.raises(TypeError, match=name):
        bind_identity(request_with(data), **{"subject_id": "s", name: value})
    assert data == {}


def test_a_subject_is_required():
    data = {}
    with pytest.raises(TypeError, match="subject_id"):
        bind_identity(request_with(data), subject_id=None)
    with pytest.raises(TypeError, match="subject_id"):
        bind_identity(request_with(data))
    assert data == {}


def test_an_identity_that_was_refused_leaves_the_one_before():
    data = {}
    bind_identity(request_with(data), subject_id="alice")
    with pytest.raises(ValueError, match="subject_id"):
        bind_identity(request_with(data), subject_id="x" * 256)
    assert resolve_identity(data).subject_id == "alice"


def test_255_characters_are_enough_for_everybody():
    data, text = {}, "x" * 255
    bind_identity(request_with(data), issuer=text, subject_id=text, session_id=text)
    assert resolve_identity(data) == Identity(issuer=text, subject_id=text, session_id=text)


@pytest.mark.django_db
def test_a_bound_identity_is_in_the_row_from_the_next_save_on():
    session = SessionStore()
    bind_identity(request_with(session), issuer="i", subject_id="alice", session_id="5")
    assert session.modified
    session.save()
    row = row_of(session)
    assert (row.issuer, row.subject_id, row.session_id, row.user_id) == ("i", "alice", "5", None)


@pytest.mark.django_db
def test_binding_again_replaces():
    session = SessionStore()
    bind_identity(request_with(session), issuer="i", subject_id="alice", session_id="5")
    session.save()
    bind_identity(request_with(session), subject_id="bob")
    session.save()
    row = row_of(session)
    assert (row.issuer, row.subject_id) == (None, "bob")
    assert row.session_id != "5"


# At every save, however the data was written


def write_by_item(session):
    session["oidc"] = CLAIMS


def write_by_update(session):
    session.update({"oidc": CLAIMS})


def write_by_setdefault(session):
    session.setdefault("oidc", CLAIMS)


def write_by_aset(session):
    async_to_sync(session.aset)("oidc", CLAIMS)


def write_by_aupdate(session):
    async_to_sync(session.aupdate)({"oidc": CLAIMS})


def write_by_asetdefault(session):
    async_to_sync(session.asetdefault)("oidc", CLAIMS)


def write_in_place(session):
    session.setdefault("oidc", {}).update(CLAIMS)


WRITERS = [
    write_by_item,
    write_by_update,
    write_by_setdefault,
    write_by_aset,
    write_by_aupdate,
    write_by_asetdefault,
    write_in_place,
]


@pytest.mark.django_db
@pytest.mark.parametrize("save", ["save", "asave", "create", "cycle_key", "acycle_key"])
@pytest.mark.parametrize("write", WRITERS)
def test_identity_is_found_however_it_was_written(write, save):
    session = SessionStore()
    write(session)
    method = getattr(session, save)
    (async_to_sync(method) if save.startswith("a") else method)()
    row = row_of(session)
    assert (row.issuer, row.subject_id, row.session_id) == ("https://idp.example", "alice", "5")


@pytest.mark.django_db
@pytest.mark.parametrize("write", WRITERS)
def test_identity_is_found_again_at_every_save(write):
    session = SessionStore()
    session["cart"] = 1
    session.save()
    assert row_of(session).subject_id is None
    session = reopened(session)
    write(session)
    session.save()
    assert row_of(session).subject_id == "alice"
    session = reopened(session)
    session["oidc"] = {**CLAIMS, "sub": "bob"}
    session.save()
    assert row_of(session).subject_id == "bob"


@pytest.mark.django_db
@pytest.mark.parametrize(
    "remove", [lambda s: s.pop("oidc"), lambda s: s.__delitem__("oidc"), lambda s: s.clear()]
)
def test_without_claims_the_row_is_anonymous_again(remove):
    session = SessionStore()
    session["oidc"] = CLAIMS
    session.save()
    session = reopened(session)
    remove(session)
    session.save()
    row = row_of(session)
    assert (row.issuer, row.subject_id, row.session_id, row.user_id) == (None,) * 4


@pytest.mark.django_db
@pytest.mark.parametrize("sign_in", [login, async_to_sync(alogin)])
def test_signing_in_with_django_puts_the_user_into_the_row(sign_in):
    user, session = UserFactory(), SessionStore()
    sign_in(request_with(session), user)
    session.save()
    row = row_of(session)
    assert (row.issuer, row.subject_id, row.user_id) == (None, str(user.pk), str(user.pk))
    assert row.session_id


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("sign_in", "bind"),
    [(login, bind_identity), (async_to_sync(alogin), async_to_sync(abind_identity))],
    ids=["sync", "async"],
)
def test_signing_in_at_a_provider_puts_subject_and_user_into_the_row(sign_in, bind):
    user, session = UserFactory(), SessionStore()
    request = request_with(session)
    sign_in(request, user)
    bind(request, issuer="https://idp.example", subject_id="alice", session_id="5")
    session.save()
    row = row_of(session)
    assert (row.subject_id, row.session_id, row.user_id) == ("alice", "5", str(user.pk))


@pytest.mark.django_db
def test_after_signing_out_nothing_of_the_identity_is_left():
    session = SessionStore()
    request = request_with(session)
    login(request, UserFactory())
    bind_identity(request, subject_id="alice", session_id="5")
    session.save()
    logout(request)
    assert not Session.objects.exists()
    session["cart"] = 1
    session.save()
    assert row_of(session).subject_id is None


@pytest.mark.django_db
def test_a_claim_too_long_to_be_kept_saves_nothing():
    session = SessionStore()
    session["oidc"] = CLAIMS
    session.save()
    before = Session.objects.values().get()
    session["oidc"] = {**CLAIMS, "sub": "x" * 256}
    with pytest.raises(ValueError, match="subject_id"):
        session.save()
    assert Session.objects.values().get() == before


# A resolver of one's own


@pytest.mark.django_db
def test_an_own_resolver_decides(settings):
    settings.BFF_SESSIONS = {"IDENTITY_RESOLVER": f"{__name__}.resolve_tenant"}
    session = SessionStore()
    session["oidc"] = CLAIMS
    session.save()
    assert row_of(session).subject_id is None
    session["tenant"] = "acme"
    session.save()
    row = row_of(session)
    assert (row.issuer, row.subject_id, row.session_id, row.user_id) == ("own", "acme", "s", "u")


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["resolve_to_dict", "resolve_to_nothing"])
def test_a_resolver_that_returns_something_else_is_misconfigured(settings, name):
    settings.BFF_SESSIONS = {"IDENTITY_RESOLVER": f"{__name__}.{name}"}
    session = SessionStore()
    session["cart"] = "do not show me"
    with pytest.raises(ImproperlyConfigured, match="IDENTITY_RESOLVER") as caught:
        session.save()
    assert "show me" not in str(caught.value)
    assert not Session.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["nope.nope", "tests.unit.identity.test_identity.CLAIMS"])
def test_a_resolver_that_is_none_is_misconfigured(settings, path):
    settings.BFF_SESSIONS = {"IDENTITY_RESOLVER": path}
    with pytest.raises(ImproperlyConfigured, match="IDENTITY_RESOLVER"):
        SessionStore().save()


# The session id where the provider gives none


@pytest.fixture
def signed_in(db):
    """A session of alice's whose provider gives no sid."""
    session = SessionStore()
    session["oidc"] = {"iss": "https://idp.example", "sub": "alice"}
    session.save()
    return session


def test_a_session_without_sid_gets_a_random_one(signed_in):
    other = SessionStore()
    other["oidc"] = signed_in["oidc"]
    other.save()
    ids = {row_of(session).session_id for session in (signed_in, other)}
    assert len(ids) == 2
    assert all(re.fullmatch("nosid[0-9a-f]{32}", session_id) for session_id in ids)
    assert all(map(is_own_session_id, ids))


@pytest.mark.parametrize(
    ("session_id", "is_own"),
    [
        ("nosid" + "0123456789abcdef" * 2, True),
        ("moved-" + "0123456789abcdef" * 2, True),
        (None, False),
        ("", False),
        ("laptop", False),
        ("0123456789abcdef" * 2, False),
        ("nosid", False),
        ("nosid" + "0" * 31, False),
        ("nosid" + "0" * 33, False),
        ("nosid" + "A" * 32, False),
        ("nosid" + "0" * 32 + "\n", False),
    ],
)
def test_session_id_of_our_own_is_recognized(session_id, is_own):
    assert is_own_session_id(session_id) is is_own


def test_new_session_ids_are_recognized():
    assert is_own_session_id(make_session_id())
    assert is_own_session_id(make_moved_session_id())


def test_an_own_session_id_stays_while_the_subject_stays(signed_in):
    before = row_of(signed_in).session_id
    signed_in["cart"] = 1
    signed_in.save()
    assert row_of(signed_in).session_id == before
    session = reopened(signed_in)
    session["cart"] = 2
    session.save()
    assert row_of(session).session_id == before
    session.cycle_key()
    assert row_of(session).session_id == before
    session["oidc"] = {**session["oidc"], "name": "Alice"}
    session.save()
    assert row_of(session).session_id == before


@pytest.mark.parametrize("changed", [{"sub": "bob"}, {"iss": "https://b.example"}])
def test_an_own_session_id_is_made_again_when_the_subject_changes(signed_in, changed):
    before = row_of(signed_in).session_id
    signed_in["oidc"] = signed_in["oidc"] | changed
    signed_in.save()
    assert row_of(signed_in).session_id not in (None, before)


def test_an_own_session_id_is_not_in_the_session_data(signed_in):
    session_id = row_of(signed_in).session_id
    assert session_id not in repr(reopened(signed_in).items())


def test_an_own_session_id_has_nothing_to_do_with_the_key(signed_in):
    row = row_of(signed_in)
    assert row.session_id not in (signed_in.session_key, row.key)
    assert row.session_id not in signed_in.session_key + row.key
    assert signed_in.session_key not in row.session_id


def test_the_sid_of_the_provider_replaces_an_own_one(signed_in):
    signed_in["oidc"] = CLAIMS
    signed_in.save()
    assert row_of(signed_in).session_id == "5"


@pytest.mark.django_db
def test_an_anonymous_session_has_no_session_id():
    session = SessionStore()
    session["cart"] = 1
    session.save()
    assert row_of(session).session_id is None


# created


@pytest.fixture
def long_ago(signed_in):
    """When `signed_in` signed in, for all we know."""
    moment = ago(days=3)
    let_have_begun(signed_in, moment)
    return moment


def test_created_stays_while_the_identity_stays(signed_in, long_ago):
    session = reopened(signed_in)
    session["cart"] = 1
    session.save()
    assert row_of(session).created == long_ago
    assert row_of(session).renewed > long_ago
    session.cycle_key()
    assert row_of(session).created == long_ago
    session.set_expiry(300)
    session.save()
    assert row_of(session).created == long_ago


@pytest.mark.parametrize(
    "changed", [{"sub": "bob"}, {"iss": "https://b.example"}, {"sid": "5"}], ids=str
)
def test_created_restarts_when_the_identity_changes(signed_in, long_ago, changed):
    session = reopened(signed_in)
    session["oidc"] = session["oidc"] | changed
    session.save()
    assert row_of(session).created > long_ago


def test_created_restarts_when_a_user_of_django_signs_in(signed_in, long_ago):
    session = reopened(signed_in)
    login(request_with(session), UserFactory())
    session.save()
    assert row_of(session).created > long_ago


def test_created_restarts_when_the_identity_ends(signed_in, long_ago):
    session = reopened(signed_in)
    del session["oidc"]
    session.save()
    assert row_of(session).created > long_ago


@pytest.mark.django_db
def test_created_of_an_anonymous_session_stays():
    session, moment = SessionStore(), ago(days=3)
    session["cart"] = 1
    session.save()
    let_have_begun(session, moment)
    session = reopened(session)
    session["cart"] = 2
    session.save()
    assert row_of(session).created == moment


class Provider(models.TextChoices):
    MAIN = "https://idp.example", "Main"


def resolve_members(data):
    return Identity(issuer=Provider.MAIN, subject_id=mark_safe("alice"))


@pytest.mark.django_db
def test_texts_of_other_types_become_plain(settings):
    settings.BFF_SESSIONS = {"IDENTITY_RESOLVER": f"{__name__}.resolve_members"}
    session = SessionStore()
    session["a"] = 1
    session.save()
    assert dict(SessionStore(session.session_key).items()) == {"a": 1}
    identity = resolve_members({})
    assert (type(identity.issuer), identity.issuer) == (str, "https://idp.example")
