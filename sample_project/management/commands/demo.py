"""manage.py demo: set up and serve the sample in one step."""

import os
import secrets
import socket
import sys

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from sample_project import provider
from sample_project.factories import PREFIX

PASSWORD = "demo"
HERE = """
  {origin}/        sign in as alice or bob, password {password};
  {indent}         "Where am I signed in?" lists alice's other sessions
  {origin}/admin/  sign in as operator, password {password}, in a private window;
  {indent}         find sub-alice under Sessions, end that session,
  {indent}         and reload alice's page
"""
AT_PROVIDER = """
  {origin}/        sign in at the provider, {issuer};
  {indent}         sign out there in another tab, and reload this page
  {origin}/admin/  sign in as operator, password {password}, in a private window;
  {indent}         end a session under Sessions, and reload its page
"""


def check_free(addrport):
    """Check that the sample can listen, before it sets anything up or starts the provider."""
    host, _, port = addrport.rpartition(":")
    try:
        number = int(port)
        # Django takes 0 for every address.
        host = "0.0.0.0" if host == "0" else host.strip("[]")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host, number), family=family).close()
    except (OSError, OverflowError, ValueError) as error:
        # The error's own text repeats the address.
        reason = os.strerror(error.errno) if getattr(error, "errno", None) else error
        raise CommandError(
            f"The sample cannot listen at {addrport} ({reason}). Give it another port: "
            "manage.py demo 8001."
        ) from error


class Command(BaseCommand):
    help = "Set up the sample project with demo users, and serve it."

    def add_arguments(self, parser):
        parser.add_argument(
            "addrport", nargs="?", default="127.0.0.1:8000", help="address and port to serve on"
        )
        parser.add_argument(
            "--no-serve", action="store_true", help="set up the sample without serving it"
        )
        parser.add_argument(
            "--no-seed", action="store_true", help="do not add the users and sessions of seed_demo"
        )
        parser.add_argument(
            "--provider", action="store_true", help="start an OpenID Provider and sign in there"
        )
        parser.add_argument(
            "--provider-port", type=int, default=9000, help="port of the provider (default: 9000)"
        )

    def handle(self, *args, **options):
        if not settings.DEBUG:
            raise CommandError(
                "DEBUG must be true for the demo, because the passwords of its users are public."
            )
        addrport = options["addrport"]
        if addrport.isdecimal():
            addrport = f"127.0.0.1:{addrport}"
        if options["provider"]:
            provider.install()
        if not options["no_serve"]:
            check_free(addrport)
            if options["provider"]:
                self.start_again_with_provider(
                    addrport, options["provider_port"], options["no_seed"]
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
        if not (
            options["no_seed"]
            or get_user_model().objects.filter(username__startswith=PREFIX).exists()
        ):
            call_command("seed_demo", users=40, sessions=400, verbosity=0)
        origin = f"http://{addrport}"
        self.stdout.write(
            (AT_PROVIDER if settings.OIDC else HERE).format(
                origin=origin,
                indent=" " * len(origin),
                password=PASSWORD,
                issuer=settings.OIDC and settings.OIDC["ISSUER"],
            )
        )
        if not options["no_serve"]:
            self.stdout.write("Stop with Ctrl-C.\n")
            # The reloader would run this command, and print the text, twice.
            call_command("runserver", addrport, use_reloader=False)

    def start_again_with_provider(self, addrport, provider_port, no_seed):
        """Start the provider, and restart this command with the provider in its settings."""
        port = addrport.rpartition(":")[2]
        environment = {
            # Another host than the sample, because cookies ignore ports.
            "OIDC_ISSUER": f"http://localhost:{provider_port}",
            "OIDC_CLIENT_ID": "sample",
            "OIDC_CLIENT_SECRET": secrets.token_urlsafe(32),
            # Both names, because the user may type either.
            "CLIENT_ORIGINS": f"http://127.0.0.1:{port} http://localhost:{port}",
        }
        process = provider.start(environment)
        # The pipe closes when the sample ends for any reason, and that stops the provider.
        os.set_inheritable(process.stdin.fileno(), True)
        self.stdout.flush()
        command = [sys.executable, sys.argv[0], "demo", addrport]
        if no_seed:
            command.append("--no-seed")
        os.execve(sys.executable, command, os.environ | environment)
