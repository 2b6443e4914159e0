import pytest

from tests.support.login_provider import Provider


@pytest.fixture(scope="session")
def provider():
    with Provider() as provider:
        yield provider


@pytest.fixture
def project(settings, provider):
    """The settings of a project whose provider is `provider`."""
    settings.BFF_SESSIONS = {"PROVIDERS": {provider.issuer: {}}}
    return settings
