"""The shipped suite finds faults: each store here has one, and the named test fails for it."""

import unittest
from dataclasses import replace
from datetime import UTC, datetime
from unittest import TestCase

import pytest

from bff_sessions.contract import ANY
from bff_sessions.exceptions import SessionMissing
from bff_sessions.stores.memory import InMemoryUserSessionStore
from bff_sessions.testing import (
    UserSessionStoreCleanupTests,
    UserSessionStoreDevicesTests,
    UserSessionStoreLeasesTests,
    UserSessionStoreTests,
)


class IgnoresVersions(InMemoryUserSessionStore):
    def update_user_session(self, key, update, *, if_version=None):
        return super().update_user_session(key, update)


class CreatesOnUpdate(InMemoryUserSessionStore):
    last = None

    def create_user_session(self, session):
        super().create_user_session(session)
        self.last = session

    def update_user_session(self, key, update, *, if_version=None):
        try:
            return super().update_user_session(key, update, if_version=if_version)
        except SessionMissing:
            if self.last is None or self.last.key != key:
                raise
            super().create_user_session(self.last)
            return super().update_user_session(key, update)


class ListsOldestFirst(InMemoryUserSessionStore):
    def get_user_sessions(self, filter):
        return super().get_user_sessions(filter)[::-1]


class MatchesAnyIssuer(InMemoryUserSessionStore):
    def delete_user_sessions(self, filter, *, on_ending=None):
        return super().delete_user_sessions(replace(filter, issuer=ANY), on_ending=on_ending)


class LeavesOneSession(InMemoryUserSessionStore):
    def delete_user_sessions(self, filter, *, on_ending=None):
        found = self.get_user_sessions(filter)
        if len(found) > 1:
            filter = replace(filter, exclude_key=found[-1].key)
        return super().delete_user_sessions(filter, on_ending=on_ending)


class DoesNotCallOnEnding(InMemoryUserSessionStore):
    def delete_user_session(self, key, *, on_ending=None):
        return super().delete_user_session(key)


class ReturnsTheOldVersion(InMemoryUserSessionStore):
    def update_user_session(self, key, update, *, if_version=None):
        return super().update_user_session(key, update, if_version=if_version) - 1


class ListsExpired(InMemoryUserSessionStore):
    def get_user_sessions(self, filter):
        found = [session for session in self._sessions.values() if filter.matches(session)]
        return sorted(found, key=lambda session: session.renewed, reverse=True)


class LeavesTheOldKey(InMemoryUserSessionStore):
    def rekey_user_session(self, key, session, *, if_version):
        old = self.get_user_session(key)
        version = super().rekey_user_session(key, session, if_version=if_version)
        self.create_user_session(old)
        return version


class LeasesForever(InMemoryUserSessionStore):
    def acquire_lease(self, key, owner, seconds):
        return super().acquire_lease(key, owner, 10**6)


class LeasesExpired(InMemoryUserSessionStore):
    def get_user_session(self, key):
        return self._sessions.get(key)


class LosesDevices(InMemoryUserSessionStore):
    def rekey_user_session(self, key, session, *, if_version):
        version = super().rekey_user_session(key, session, if_version=if_version)
        self._sessions[session.key] = replace(session, version=version)
        return version


class CleansUpLive(InMemoryUserSessionStore):
    def delete_expired_batch(self, limit, *, now, **options):
        return super().delete_expired_batch(limit, now=datetime.max.replace(tzinfo=UTC), **options)


class ForgetsTickets(InMemoryUserSessionStore):
    def delete_user_sessions(self, filter, *, on_ending=None):
        deleted = super().delete_user_sessions(filter, on_ending=on_ending)
        return [replace(session, ticket=b"") for session in deleted]


class RenumbersMoved(InMemoryUserSessionStore):
    def rekey_user_session(self, key, session, *, if_version):
        version = super().rekey_user_session(key, session, if_version=if_version)
        self._numbers[session.key] = next(self._new_numbers)
        return version


FAULTS = {
    IgnoresVersions: "test_an_update_of_a_moved_version_fails",
    CreatesOnUpdate: "test_signed_out_is_out_for_a_save_in_flight",
    ListsOldestFirst: "test_sessions_are_listed_newest_renewal_first",
    MatchesAnyIssuer: "test_the_same_subject_of_another_issuer_does_not_match",
    LeavesOneSession: "test_deleting_many_returns_what_was_deleted",
    DoesNotCallOnEnding: "test_on_ending_gets_deleted_sessions_with_tickets_that_open",
    ReturnsTheOldVersion: "test_an_update_writes_everything_and_counts",
    ListsExpired: "test_an_expired_session_is_absent",
    LeavesTheOldKey: "test_a_rekeyed_session_moves_with_everything",
    LeasesForever: "test_a_lease_expires_by_itself",
    LeasesExpired: "test_signed_out_is_out_for_a_lease",
    LosesDevices: "test_a_device_is_stored_beside_the_session",
    CleansUpLive: "test_clean_up_deletes_expired_sessions_only",
    ForgetsTickets: "test_a_ticket_opens_after_every_verb",
    RenumbersMoved: "test_session_that_moves_keeps_its_place",
}


def run(store_class, test):
    """Return the result of one test of the suite on a store."""

    class StoreTests(
        UserSessionStoreTests,
        UserSessionStoreLeasesTests,
        UserSessionStoreDevicesTests,
        UserSessionStoreCleanupTests,
        TestCase,
    ):
        def make_store(self):
            return store_class()

    result = unittest.TestResult()
    StoreTests(test).run(result)
    return result


@pytest.mark.parametrize(("store_class", "test"), FAULTS.items())
def test_suite_finds_the_fault(store_class, test):
    assert run(InMemoryUserSessionStore, test).wasSuccessful()
    result = run(store_class, test)
    assert result.failures or result.errors
