import pytest

from bff_sessions.oidc import log
from bff_sessions.oidc.providers import get_provider
from tests.support.provider import CLIENT_ID, Provider


@pytest.fixture(autouse=True)
def nothing_reported(monkeypatch):
    """No other test has reported a fault."""
    monkeypatch.setattr(log, "_reported", {})


@pytest.fixture
def provider(settings):
    """A provider that is configured, and answers."""
    settings.ROOT_URLCONF = "tests.support.oidc_urls"
    local = Provider()
    local.answers["/token"] = (200, {}, {"access_token": "new"})
    settings.BFF_SESSIONS = {"PROVIDERS": {local.issuer: {"CLIENT_ID": CLIENT_ID}}}
    yield local
    local.close()


@pytest.fixture
def another_provider(provider, settings):
    """A second one, with a client id of its own."""
    local = Provider()
    providers = settings.BFF_SESSIONS["PROVIDERS"] | {local.issuer: {"CLIENT_ID": "shop-2"}}
    settings.BFF_SESSIONS = {"PROVIDERS": providers}
    yield local
    local.close()


@pytest.fixture
def configure(provider, settings):
    """Changes options of the provider, and other settings."""

    def configure(more=None, **options):
        options = {"CLIENT_ID": CLIENT_ID} | options
        settings.BFF_SESSIONS = {"PROVIDERS": {provider.issuer: options}} | (more or {})
        return get_provider(provider.issuer)

    return configure


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test turns; what is kept for some time looks at it."""

    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

        def advance(self, seconds):
            self.now += seconds

    clock = Clock()
    monkeypatch.setattr("bff_sessions.oidc.transport.http.time", clock)
    monkeypatch.setattr("bff_sessions.oidc.providers.sources.time", clock)
    return clock
