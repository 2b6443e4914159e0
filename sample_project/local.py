"""Sign-in without a provider, with the password of a Django user and invented claims."""

import secrets

from django.conf import settings
from django.contrib.auth import login
from django.contrib.auth.views import LoginView
from django.shortcuts import redirect
from django.urls import path

from bff_sessions import bind_identity

ISSUER = "https://idp.example"


def authenticated_claims(user):
    """Return claims as in the ID token that a provider would send for `user`."""
    return {"iss": ISSUER, "sub": f"sub-{user.username}", "sid": secrets.token_hex(8)}


class SignIn(LoginView):
    template_name = "sample_project/sign_in.html"
    extra_context = {"is_demo": settings.DEBUG}

    def form_valid(self, form):
        login(self.request, form.get_user())
        claims = authenticated_claims(form.get_user())
        bind_identity(
            self.request,
            issuer=claims["iss"],
            subject_id=claims["sub"],
            session_id=claims["sid"],
        )
        # GET bff/user shows it, so that all pages show the same name.
        self.request.session["oidc"] = {**claims, "name": form.get_user().get_username()}
        return redirect(self.get_success_url())


urlpatterns = [path("sign-in", SignIn.as_view(), name="sign-in")]
