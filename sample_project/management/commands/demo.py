"""manage.py demo: from a fresh clone to a running sample, in one go."""

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

PASSWORD = "demo"


class Command(BaseCommand):
    help = "Set up the sample project with demo users, and serve it."

    def add_arguments(self, parser):
        parser.add_argument(
            "addrport", nargs="?", default="127.0.0.1:8000", help="address and port to serve on"
        )
        parser.add_argument("--no-serve", action="store_true", help="only set up")

    def handle(self, *args, **options):
        if not settings.DEBUG:
            raise CommandError(
                "The passwords of the demo users are public: DEBUG must be true for a demo."
            )
        call_command("migrate", verbosity=0)
        for username in ("alice", "bob", "operator"):
            is_operator = username == "operator"
            user, _ = get_user_model().objects.update_or_create(
                username=username,
                defaults={"is_staff": is_operator, "is_superuser": is_operator},
            )
            if not user.check_password(PASSWORD):
                user.set_password(PASSWORD)
                user.save()
        addrport = options["addrport"]
        origin = "http://" + (f"127.0.0.1:{addrport}" if addrport.isdecimal() else addrport)
        self.stdout.write(
            f"\n"
            f"  {origin}/        sign in as alice or bob, password {PASSWORD}\n"
            f"  {origin}/admin/  sign in as operator, password {PASSWORD}, in a private window:\n"
            f"  {' ' * len(origin)}         find sub-alice under Sessions, delete that session,\n"
            f"  {' ' * len(origin)}         and reload alice's page\n"
        )
        if not options["no_serve"]:
            self.stdout.write("Stop with Ctrl-C.\n")
            # With the reloader all of this would run, and be printed, twice.
            call_command("runserver", addrport, use_reloader=False)
