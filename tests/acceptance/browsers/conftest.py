"""The sample and the provider as processes of their own, and a real browser."""

import shutil

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.support.sample import running

OPTIONS = """
    --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync
"""
expect.set_options(timeout=20_000)  # ms, on a busy machine


@pytest.fixture(scope="session")
def shared_sample(tmp_path_factory):
    with running(tmp_path_factory.mktemp("sample"), provider=True) as sample:
        yield sample


@pytest.fixture
def sample(shared_sample):
    """The sample beside the provider; its log of this test is shown if the test fails."""
    before = len(shared_sample.log)
    yield shared_sample
    print(shared_sample.log[before:])


@pytest.fixture
def sample_alone(tmp_path):
    with running(tmp_path, provider=False) as sample:
        yield sample
        print(sample.log)


@pytest.fixture(scope="session")
def chromium():
    path = shutil.which("chromium")
    assert path, "These tests need Chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=OPTIONS.split())
        yield browser
        browser.close()


@pytest.fixture
def open_browser(chromium):
    """Calling it opens another browser, with cookies of its own; returns its first page."""
    contexts = []

    def open_browser():
        context = chromium.new_context()
        context.set_default_timeout(20_000)
        contexts.append(context)
        return context.new_page()

    yield open_browser
    for context in contexts:
        context.close()
