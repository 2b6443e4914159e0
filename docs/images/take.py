"""Take the pictures of docs/images: python docs/images/take.py [URL of a running demo].

Needs `manage.py demo`, playwright with Chromium, and Pillow.
"""

import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
SITE = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"


def sign_in(browser, path, name, width, height):
    page = browser.new_context(viewport={"width": width, "height": height}).new_page()
    page.goto(f"{SITE}{path}")
    page.fill("[name=username]", name)
    page.fill("[name=password]", "demo")
    page.press("[name=password]", "Enter")
    page.wait_for_load_state("networkidle")
    return page


with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
    page = sign_in(browser, "/", "alice", 720, 800)
    page.goto(f"{SITE}/")
    page.screenshot(path=HERE / "sample-home.png", full_page=True)
    page.goto(f"{SITE}/bff/my-sessions")
    page.screenshot(path=HERE / "my-sessions.png", full_page=True)
    page = sign_in(browser, "/admin/login/?next=/admin/", "operator", 1280, 800)
    page.goto(f"{SITE}/admin/bff_sessions/session/")
    page.screenshot(path=HERE / "admin-list.png")
    page.click("text=Overview")
    page.screenshot(path=HERE / "admin-overview.png", full_page=True)

# Side by side, with the same height.
left, right = (Image.open(HERE / f"{name}.png") for name in ("my-sessions", "admin-list"))
left = left.convert("RGB").resize((left.width * right.height // left.height, right.height))
both = Image.new("RGB", (left.width + 24 + right.width, right.height), "white")
both.paste(left, (0, 0))
both.paste(right.convert("RGB"), (left.width + 24, 0))
both.quantize(128).save(HERE / "my-sessions-and-admin.png", optimize=True)
