import sys
from pathlib import Path

from tests.settings import *  # noqa: F403
from tests.settings import DATABASES
from tests.support.recipes import recipe

sys.path.insert(0, str(Path(__file__).parent))
ROOT_URLCONF = "tests.acceptance.tenants.urls"
DATABASES["default"] |= {
    "ENGINE": "django_tenants.postgresql_backend",
    "TEST": {"NAME": "test_bff_sessions_tenants"},
}
globals().update(recipe("how-to/tenants", "TENANT_APPS"))
globals().update(recipe("how-to/tenants", 'find_provider"'))
