from bff_sessions.stores import get_store
from bff_sessions.stores.memory import InMemoryUserSessionStore


class StoreWithLength(InMemoryUserSessionStore):
    def __len__(self):
        return len(self._sessions)


def test_empty_store_with_a_length_is_one_instance(settings):
    settings.BFF_SESSIONS = {"STORE": f"{__name__}.StoreWithLength"}
    assert get_store() is get_store()
