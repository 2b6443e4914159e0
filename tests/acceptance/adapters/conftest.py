import pytest

from tests.support.provider import Provider


@pytest.fixture(scope="session")
def provider():
    with Provider() as provider:
        methods = ["client_secret_post"]
        provider.configuration["token_endpoint_auth_methods_supported"] = methods
        yield provider


@pytest.fixture(autouse=True)
def _nothing_refreshed(provider, monkeypatch):
    monkeypatch.setattr(provider, "refreshed", [])


@pytest.fixture
def project(settings, provider):
    """The settings of a project whose provider is `provider`."""
    options = {**provider.options, "TOKEN_ENDPOINT_AUTH_METHOD": "client_secret_basic"}
    settings.BFF_SESSIONS = {"PROVIDERS": {provider.issuer: options}}
    return settings
