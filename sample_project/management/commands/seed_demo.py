"""manage.py seed_demo: add users and sessions to the demo."""

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from factory.random import randgen, reseed_random
from tqdm import tqdm

from bff_sessions.models import Session
from sample_project.factories import PARTITION, PREFIX, USER_AGENTS, SessionFactory, UserFactory

BATCH = 500  # rows in one INSERT
# Ages of alice's other sessions in seconds, young enough to be live.
AGES = [5_000, 90_000, 250_000, 500_000]


class Command(BaseCommand):
    help = (
        "Add users, and live and expired sessions of the last month, some of them of alice. "
        "Another run replaces them."
    )

    def add_arguments(self, parser):
        parser.add_argument("--users", type=int, default=200, help="number of users (default: 200)")
        parser.add_argument(
            "--sessions", type=int, default=5000, help="number of sessions (default: 5000)"
        )

    def handle(self, *args, users, sessions, verbosity, **options):
        if not settings.DEBUG:
            raise CommandError("DEBUG must be true, because these users and sessions are invented.")
        if users < 1 or sessions < 0:
            raise CommandError("--users must be at least 1, and --sessions at least 0.")
        user_model = get_user_model()
        # Each run makes the same users with the same devices.
        reseed_random("bff_sessions")
        UserFactory.reset_sequence(0, force=True)
        SessionFactory.reset_sequence(0, force=True)
        seeded = Session.objects.filter(session_id__startswith=PREFIX, partition=PARTITION)
        seeded.delete()
        user_model.objects.filter(username__startswith=PREFIX).delete()

        people = user_model.objects.bulk_create(UserFactory.build_batch(users))
        alice = user_model.objects.filter(username="alice").first()
        ages = AGES[:sessions] if alice else []
        rows = [
            SessionFactory.build(user=alice, age=age, user_agent=user_agent)
            for age, user_agent in zip(ages, USER_AGENTS, strict=False)
        ]
        with tqdm(
            total=sessions, unit=" sessions", disable=None if verbosity else True
        ) as progress:
            for first in range(0, sessions, BATCH):
                number = min(BATCH, sessions - first) - len(rows)
                rows += [SessionFactory.build(user=randgen.choice(people)) for _ in range(number)]
                Session.objects.bulk_create(rows)
                progress.update(len(rows))
                rows = []
        if verbosity:
            self.stdout.write(f"Added {users} users and {sessions} sessions.")
