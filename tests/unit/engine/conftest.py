import pytest

from tests.support.stores import MEMORY, ORM


@pytest.fixture(params=[ORM, MEMORY], ids=["orm", "memory"])
def leasing_store(request, settings, transactional_db):
    settings.BFF_SESSIONS = {"STORE": request.param}
