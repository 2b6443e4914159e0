"""What two concurrent requests changed becomes one."""

import gzip
import json
import marshal
import pickle
import random
import re
import secrets
from base64 import urlsafe_b64encode
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from django.contrib.sessions.serializers import JSONSerializer
from django.test import override_settings
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bff_sessions import bind_identity, conf
from bff_sessions.engine import SessionStore
from bff_sessions.engine.equality import is_same
from bff_sessions.engine.merging import merge
from bff_sessions.identity import identify
from bff_sessions.identity.id_tokens import MOZILLA_TOKENS
from bff_sessions.oidc.tokens import Tokens, keep_tokens
from bff_sessions.oidc.tokens.keeping import _MOZILLA
from bff_sessions.protection import store_key
from bff_sessions.stores import get_store
from tests.support.stores import MEMORY

generated = hypothesis_settings(database=None, deadline=None)

# Serializers whose bytes differ from call to call, or that take dictionaries only


def _dumps(data):
    if type(data) is not dict:
        raise TypeError("A session is a dictionary.")
    return json.dumps(data).encode()


class Dictionaries:
    def dumps(self, data):
        return _dumps(data)

    def loads(self, plain):
        return json.loads(plain)


class Salted:
    def dumps(self, data):
        return secrets.token_bytes(8) + _dumps(data)

    def loads(self, plain):
        return json.loads(plain[8:])


class Compressed:
    """A gzip header says when it was written."""

    def dumps(self, data):
        return gzip.compress(_dumps(data), mtime=random.randrange(2**31))

    def loads(self, plain):
        return json.loads(gzip.decompress(plain))


class Encrypted:
    _fernet = Fernet(Fernet.generate_key())

    def dumps(self, data):
        return self._fernet.encrypt(_dumps(data))

    def loads(self, plain):
        return json.loads(self._fernet.decrypt(plain))


class Shuffled:
    def dumps(self, data):
        return _dumps(dict(random.sample(list(data.items()), len(data))))

    def loads(self, plain):
        return json.loads(plain)


class Pickled:
    def dumps(self, data):
        return secrets.token_bytes(8) + pickle.dumps(data)

    def loads(self, plain):
        return pickle.loads(plain[8:])


class Marshalled:
    """Reads and writes what is deeper than Python's stack."""

    def dumps(self, data):
        return marshal.dumps(data)

    def loads(self, plain):
        return marshal.loads(plain)


SERIALIZERS = [Dictionaries, Salted, Compressed, Encrypted, Shuffled]


@pytest.fixture(params=SERIALIZERS, ids=lambda serializer: serializer.__name__)
def serializer(request, settings):
    settings.SESSION_SERIALIZER = f"{__name__}.{request.param.__name__}"


def merged(base, mine, theirs, serializer=None):
    serializer = serializer or JSONSerializer()
    return merge(serializer.dumps(base), mine, theirs, serializer)


def version_of(session):
    return get_store().get_user_session(store_key(conf.PARTITION, session.session_key)).version


# Key by key


def test_two_requests_that_begin_a_dictionary_both_add_to_it(any_store, calls, load):
    key = calls.start(cart=[1]).session_key
    one, two = SessionStore(key), SessionStore(key)
    calls.update(one, {"oidc_states": {"first": {"nonce": "a"}}})
    calls.update(two, {"oidc_states": {"second": {"nonce": "b"}}})
    calls.save(one)
    calls.save(two)
    states = {"first": {"nonce": "a"}, "second": {"nonce": "b"}}
    assert load(key) == {"cart": [1], "oidc_states": states} == dict(two.items())


def test_changes_and_removals_inside_a_dictionary_both_survive(any_store, calls, load):
    key = calls.start(form={"a": {"kept": 1, "gone": 1}, "b": 1}).session_key
    one, two = SessionStore(key), SessionStore(key)
    calls.get(one, "form")["a"]["one"] = 1
    del calls.get(two, "form")["a"]["gone"]
    calls.get(two, "form")["b"] = 2
    calls.save(two)
    calls.save(one)
    assert load(key) == {"form": {"a": {"kept": 1, "one": 1}, "b": 2}} == dict(one.items())


@pytest.mark.parametrize(
    ("base", "mine", "theirs", "expected"),
    [
        ([1], [1, 2], [1, 3], [1, 2]),
        (1, 2, 3, 2),
        ([{"a": 1}], [{"a": 1, "b": 1}], [{"a": 1, "c": 1}], [{"a": 1, "b": 1}]),
        ({"a": 1}, {"a": 2}, [1], {"a": 2}),
        ({"a": 1}, 5, {"a": 2}, 5),
        (None, {"a": 1}, {"b": 1}, {"a": 1}),
        ({"a": 1}, {"a": 1}, 5, 5),
        (1, True, 1, True),
        (1, 1, 1.0, 1.0),
    ],
)
def test_other_values_are_the_last_writers(base, mine, theirs, expected):
    assert is_same(merged({"x": base}, {"x": mine}, {"x": theirs}), {"x": expected})


def test_removing_a_dictionary_is_a_change_of_all_of_it():
    base, changed = {"x": {"a": 1}}, {"x": {"a": 1, "b": 1}}
    assert merged(base, {}, changed) == {}
    assert merged(base, changed, {}) == changed


def test_dictionaries_with_other_keys_are_the_last_writers():
    base, mine, theirs = {"x": {1: 1}}, {"x": {1: 1, 2: 2}}, {"x": {1: 1, 3: 3}}
    assert merged(base, mine, theirs, Pickled()) == mine


def test_dictionaries_deeper_than_the_stack_merge():
    def nested(**leaves):
        data = dict(leaves)
        for _ in range(1900):
            data = {"a": data}
        return data

    data = merged(nested(kept=1), nested(kept=1, one=1), nested(kept=1, two=2), Marshalled())
    for _ in range(1900):
        data = data["a"]
    assert data == {"kept": 1, "one": 1, "two": 2}


def test_table_in_the_docs_is_true():
    page = Path(__file__).parents[3] / "docs" / "explanation" / "merging.md"
    rows = re.findall(
        r"^\| `(.*)` \| `(.*)` \| `(.*)` \| `(.*)` \|$", page.read_text(), re.MULTILINE
    )
    assert len(rows) == 2
    for row in rows:
        base, one, other, expected = map(json.loads, row)
        assert merged(base, one, other) == merged(base, other, one) == expected


json_scalars = st.sampled_from([None, True, 0, 1, 1.0, -0.0, float("nan"), "", "a", [], [1]])
paths = st.tuples(*[st.sampled_from("ab")] * 3)
json_data = st.recursive(
    json_scalars, lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
)
sessions = st.dictionaries(st.sampled_from("abc"), json_data)
REMOVED = object()


def apply(data, changes):
    data = deepcopy(data)
    for path, value in changes.items():
        place = data
        for name in path[:-1]:
            place = place.setdefault(name, {})
        if value is REMOVED:
            place.pop(path[-1], None)
        else:
            place[path[-1]] = value
    return data


@generated
@given(
    st.dictionaries(paths, json_scalars),
    st.dictionaries(paths, st.tuples(st.booleans(), json_scalars | st.just(REMOVED))),
)
def test_changes_of_different_paths_all_count(leaves, changes):
    base = apply({}, leaves)
    mine = apply(base, {path: value for path, (is_mine, value) in changes.items() if is_mine})
    theirs = apply(base, {p: value for p, (is_mine, value) in changes.items() if not is_mine})
    both = apply(base, {path: value for path, (_, value) in changes.items()})
    assert is_same(merged(base, mine, theirs), both)
    assert is_same(merged(base, theirs, mine), both)


@generated
@given(sessions, sessions)
def test_side_that_changed_nothing_has_no_say(base, changed):
    assert is_same(merged(base, deepcopy(base), changed), changed)
    assert is_same(merged(base, changed, deepcopy(base)), changed)


@generated
@given(sessions, sessions, sessions)
def test_every_value_is_of_one_of_the_sides(base, mine, theirs):
    def check(base, mine, theirs, result):
        for name in {*base, *mine, *theirs}:
            was, a, b, r = (data.get(name, REMOVED) for data in (base, mine, theirs, result))
            if is_same(was, a):
                assert is_same(r, b)
            elif is_same(was, b) or is_same(a, b) or not (type(a) is type(b) is dict):
                assert is_same(r, a)
            elif was is REMOVED or type(was) is dict:
                check({} if was is REMOVED else was, a, b, r)
            else:
                assert is_same(r, a)

    check(base, mine, theirs, merged(base, mine, theirs))


# What a request holds


def test_part_of_a_merged_dictionary_stays_a_part_of_it(any_store, calls, load):
    session = calls.start(form={"a": {"items": [1]}}, other=1)
    key = session.session_key
    form = calls.get(session, "form")
    items = form["a"]["items"]
    form["mine"] = 1
    calls.change(key, form={"a": {"items": [1]}, "theirs": 1})
    calls.save(session)
    form["later"] = 1
    items.append(2)
    form["a"]["later"] = 1
    del form["mine"]
    calls.save(session)
    expected = {"a": {"items": [1, 2], "later": 1}, "theirs": 1, "later": 1}
    assert load(key) == {"form": expected, "other": 1} == dict(session.items())


def test_part_stays_through_several_merges(any_store, calls, load):
    session = calls.start(other=1)
    key = session.session_key
    states = calls.setdefault(session, "states", {})
    expected = {}
    for number in range(3):
        states[f"mine-{number}"] = expected[f"mine-{number}"] = number
        expected[f"theirs-{number}"] = number
        calls.change(key, states={**(load(key).get("states") or {}), f"theirs-{number}": number})
        calls.save(session)
    states["later"] = 1
    calls.save(session)
    assert load(key) == {"states": expected | {"later": 1}, "other": 1}
    del calls.get(session, "states")["later"], calls.get(session, "states")["mine-0"]
    del expected["mine-0"]
    calls.save(session)
    assert load(key) == {"states": expected, "other": 1}


def test_merge_does_not_write_into_a_dictionary_of_the_project(any_store, calls, load):
    constant = {"size": 10, "filters": {"colour": "red"}}
    session = calls.start(view={"size": 5})
    key = session.session_key
    calls.update(session, {"view": constant})
    calls.change(key, view={"size": 5, "secret": 1, "filters": {"by": "me"}})
    calls.save(session)
    calls.save(session)
    assert load(key) == {
        "view": {"size": 10, "secret": 1, "filters": constant["filters"] | {"by": "me"}}
    }
    assert constant == {"size": 10, "filters": {"colour": "red"}}


def test_dictionary_under_two_keys_becomes_two(any_store, calls, load):
    session = calls.start(other=1)
    key = session.session_key
    one = {"mine": 1}
    calls.update(session, {"a": one, "b": one, "list": [one]})
    calls.change(key, a={"theirs": 1})
    calls.save(session)
    expected = {"a": {"theirs": 1, "mine": 1}, "b": {"mine": 1}, "list": [{"mine": 1}], "other": 1}
    assert load(key) == expected


def test_untouched_dictionary_stays_the_same_object(any_store, calls, load):
    session = calls.start(form={"a": {}}, other=1)
    key = session.session_key
    form = calls.get(session, "form")
    calls.change(key, other=2)
    calls.update(session, {"mine": 1})
    calls.save(session)
    assert calls.get(session, "form") is form
    form["a"]["later"] = 1
    calls.save(session)
    assert load(key) == {"form": {"a": {"later": 1}}, "other": 2, "mine": 1}


# What is one value


def test_claims_and_bindings_are_one_value():
    for name in ("oidc", "_bff_identity"):
        mine, theirs = {name: {"iss": "i", "sub": "a"}}, {name: {"iss": "i", "sid": "s"}}
        assert merged({}, mine, theirs) == mine
        assert merged({}, theirs, mine) == theirs


def test_named_keys_are_one_value(settings):
    base, mine, theirs = {"x": {"a": 1}}, {"x": {"a": 1, "b": 2}}, {"x": {"a": 3}}
    assert merged(base, mine, theirs) == {"x": {"a": 3, "b": 2}}
    settings.BFF_SESSIONS = {"ATOMIC_KEYS": ["x"]}
    assert merged(base, mine, theirs) == mine
    assert merged(base, mine, base) == mine
    assert merged(base, base, theirs) == theirs
    assert merged({"y": base}, {"y": mine}, {"y": theirs}) == {"y": {"x": {"a": 3, "b": 2}}}


def test_keys_of_the_user_are_one_value():
    base = {"_auth_user_id": "1", "_auth_user_backend": "old", "_auth_user_hash": "old"}
    mine = base | {"_auth_user_hash": "mine", "cart": 1}
    theirs = base | {"_auth_user_backend": "theirs", "lang": "de"}
    assert merged(base, mine, theirs) == mine | {"lang": "de"}


def test_token_set_of_several_keys_is_one_value():
    base = {"oidc_access_token": "a0", "oidc_refresh_token": "r0", "oidc_token_expiration": 1}
    mine = {"oidc_access_token": "a1", "cart": 1}
    theirs = base | {"oidc_refresh_token": "r2"}
    assert merged(base, mine, theirs) == mine
    assert merged(base, theirs, mine) == theirs | {"cart": 1}


def test_token_sets_are_known_by_all_their_keys():
    assert set(_MOZILLA.values()) == set(MOZILLA_TOKENS)


def test_refreshed_tokens_and_a_new_password_hash_both_count():
    base = {"oidc": {"iss": "i", "sub": "a", "access_token": "old"}, "_auth_user_id": "1"}
    mine = base | {"oidc": base["oidc"] | {"access_token": "new"}}
    theirs = base | {"_auth_user_hash": "new"}
    assert merged(base, mine, theirs) == mine | theirs | {"oidc": mine["oidc"]}


def test_tokens_of_an_earlier_sign_in_do_not_outlive_a_sign_out():
    base = {"_bff_identity": {"iss": "i", "sub": "a", "sid": "s", "auth_time": None}, "cart": 1}
    theirs = base | {"oidc_id_token": id_token("a", "s"), "oidc_access_token": "new"}
    assert merged(base, {"cart": 1}, theirs) == {"cart": 1}


@pytest.mark.parametrize("sid", ["s", "s2"])
def test_refresh_does_not_undo_a_newer_sign_in_of_the_same_person(sid):
    claims = {"iss": "i", "sub": "a", "sid": "s", "auth_time": 10, "access_token": "a0"}
    base = {"oidc": claims, "_auth_user_id": "1"}
    mine = base | {"oidc": claims | {"access_token": "a1", "roles": ["old"]}, "cart": 1}
    theirs = base | {"oidc": claims | {"sid": sid, "auth_time": 20, "access_token": "b0"}}
    assert merged(base, mine, theirs) == theirs | {"cart": 1}
    assert merged(base, theirs, mine) == theirs | {"cart": 1}


def test_older_sign_in_time_does_not_win_over_a_refresh():
    claims = {"iss": "i", "sub": "a", "auth_time": 10}
    base, mine = {"oidc": claims}, {"oidc": claims | {"access_token": "a1"}}
    for changed in ({"iss": "i", "sub": "a"}, claims | {"auth_time": 5}):
        assert merged(base, mine, {"oidc": changed}) == mine


def broken(*args):
    raise ValueError


@pytest.mark.parametrize("name", ["IDENTITY_RESOLVER", "TOKENS"])
def test_merge_leaves_errors_of_the_project_to_the_save(settings, name):
    settings.BFF_SESSIONS = {name: f"{__name__}.broken"}
    assert merged({}, {"oidc": {"a": 1}}, {"oidc": {"b": 1}}) == {"oidc": {"a": 1}}


ISSUER = "https://idp.example"


def id_token(sub, sid):
    claims = json.dumps({"iss": ISSUER, "sub": sub, "sid": sid}).encode()
    return f"e30.{urlsafe_b64encode(claims).decode().rstrip('=')}.x"


class Request:
    def __init__(self, data):
        self.session = data


def write(data, kinds, sub, sid, number, leaves):
    """Sign in to `data` in some of the ways there are, refresh its tokens, or sign out."""
    for name in leaves:
        data.pop(name, None)
    tokens = {name: f"{name}-{number}" for name in ("access_token", "refresh_token")}
    if "bind" in kinds:
        bind_identity(Request(data), subject_id=sub, session_id=sid, issuer=ISSUER)
    if "claims" in kinds:
        data["oidc"] = {"iss": ISSUER, "sub": sub, "sid": sid}
    if "claims with tokens" in kinds:
        data["oidc"] = {"iss": ISSUER, "sub": sub, "sid": sid, **tokens}
    if "mozilla" in kinds:
        data["oidc_id_token"] = id_token(sub, sid)
        data["oidc_access_token"] = tokens["access_token"]
    if "login" in kinds:
        data["_auth_user_id"] = f"user of {sub}"
        data["_auth_user_hash"] = f"hash-{number}"
    old = keep_tokens(data)
    if "refresh" in kinds and old is not None:
        keep_tokens(data, replace(old, access_token=f"new-{number}", expires_at=EXPIRES))
    return data


EXPIRES = datetime(2030, 1, 1, tzinfo=UTC) + timedelta(days=1)
WAYS = ["bind", "claims", "claims with tokens", "mozilla", "login", "refresh"]
LEAVES = ["_bff_identity", "oidc", *MOZILLA_TOKENS, "_auth_user_id", "_auth_user_hash"]
signings = st.tuples(
    st.sets(st.sampled_from(WAYS)),
    st.sampled_from(["alice", "bob"]),
    st.sampled_from(["s1", "s2"]),
    st.integers(0, 2),
    st.sampled_from([[], [], LEAVES]),
)


@generated
@given(signings, signings, signings)
@example(
    (set(), "alice", "s1", 0, []),
    ({"bind", "login"}, "alice", "s1", 1, []),
    ({"claims with tokens", "login"}, "bob", "s2", 2, []),
)
@example(
    ({"bind", "login"}, "alice", "s1", 0, []),
    ({"bind"}, "alice", "s2", 1, []),
    ({"claims with tokens"}, "alice", "s1", 2, []),
)
@example(
    ({"bind", "claims"}, "alice", "s1", 0, []),
    ({"claims"}, "alice", "s1", 1, ["_bff_identity"]),
    ({"bind"}, "alice", "s1", 2, ["oidc"]),
)
@example(
    ({"mozilla", "claims with tokens"}, "alice", "s1", 0, []),
    ({"claims"}, "alice", "s1", 1, []),
    ({"claims with tokens"}, "alice", "s1", 2, LEAVES),
)
def test_sign_in_is_one_of_the_two_whole(first, mine, theirs):
    base = write({"cart": 1}, *first)
    mine, theirs = write(deepcopy(base), *mine), write(deepcopy(base), *theirs)
    result = merged(base, deepcopy(mine), theirs)
    assert identify(result) in (identify(mine), identify(theirs))
    assert keep_tokens(result) in (keep_tokens(mine), keep_tokens(theirs))
    people = [
        (one.issuer, one.subject_id, one.session_id) for one in map(identify, (base, mine, theirs))
    ]
    if len(set(people)) > 1:
        assert (identify(result), keep_tokens(result)) in [
            (identify(data), keep_tokens(data)) for data in (mine, theirs)
        ]


def test_session_keeps_one_token_set_whole(any_store, calls, load):
    key = calls.start(oidc={"iss": ISSUER, "sub": "alice", "access_token": "a0"}).session_key
    one, two = SessionStore(key), SessionStore(key)
    sets = [
        Tokens(access_token="a1", refresh_token="r1"),
        Tokens(access_token="a2", expires_at=EXPIRES),
    ]
    for session, tokens in zip((one, two), sets, strict=True):
        calls.get(session, "oidc")
        keep_tokens(session, tokens)
        calls.save(session)
    found = keep_tokens(load(key))
    assert replace(found, issuer=None) == sets[1]


# What the serializer gives


def test_changes_of_both_count_with_any_serializer(serializer, transactional_db, calls, load):
    key = calls.start(cart=[1], flash="hello", form={"a": 1}, number=float("nan")).session_key
    one, two = SessionStore(key), SessionStore(key)
    calls.update(one, {"seen": 1})
    calls.update(two, {"lang": "de"})
    calls.get(two, "form")["two"] = 2
    calls.update(one, {"cart": [1, 2], "number": 1})
    calls.get(one, "form")["one"] = 1
    calls.pop(one, "flash")
    calls.save(one)
    calls.save(two)
    form = {"a": 1, "one": 1, "two": 2}
    assert load(key) == {"cart": [1, 2], "seen": 1, "lang": "de", "form": form, "number": 1}


def test_unchanged_data_is_not_written_with_any_serializer(serializer, transactional_db, calls):
    session = calls.start(cart=[1], other={"a": float("nan")})
    session.slide = False
    calls.get(session, "cart")
    calls.save(session)
    assert version_of(session) == 1
    calls.update(session, {"cart": [True]})
    calls.save(session)
    assert version_of(session) == 2


def test_exclusive_block_without_a_change_writes_nothing(serializer, transactional_db):
    session = SessionStore()
    session["cart"] = [1]
    session.save()
    before = version_of(session)
    with session.exclusive():
        assert session["cart"] == [1]
    assert version_of(session) == before
    with session.exclusive():
        session["cart"] = [1.0]
    assert version_of(session) == before + 1


def test_values_that_only_pickle_knows_merge(transactional_db, calls, load):
    with override_settings(SESSION_SERIALIZER=f"{__name__}.Pickled"):
        since = datetime(2030, 1, 1, tzinfo=UTC)
        data = {"ids": {1, 2}, "pair": (1, 2), "since": since, "nan": {float("nan")}, "gone": {3}}
        session = calls.start(**data)
        key = session.session_key
        calls.update(session, {"mine": {4}})
        other = SessionStore(key)
        calls.pop(other, "gone")
        calls.update(other, {"ids": {3}, "pair": (3,), "since": since + timedelta(1), "nan": 1})
        calls.save(other)
        calls.save(session)
        expected = {"ids": {3}, "pair": (3,), "since": since + timedelta(1), "nan": 1, "mine": {4}}
        assert load(key) == expected


# Objects of a view


def test_session_remembers_a_bounded_number_of_merges(settings, load):
    settings.BFF_SESSIONS = {"STORE": MEMORY}
    one = SessionStore()
    one["form"] = {"a": 0, "b": 0}
    one.save()
    two = SessionStore(one.session_key)
    for number in range(150):
        for session, name in ((one, "a"), (two, "b")):
            form = session["form"]
            form[name] = number
            session.save()
    form["late"] = 1  # Of before the last merge.
    one["form"]["a"] = 150
    one.save()
    two.save()
    assert load(one.session_key) == {"form": {"a": 150, "b": 149, "late": 1}}
    assert len(two._data._replaced) == 100
