"""Sign-in at an OpenID Provider, with Authlib's client for Django.

For sign-out the pages use POST bff/logout of bff_sessions.
"""

import hashlib
import logging

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.django_client import OAuth
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.shortcuts import redirect, render
from django.urls import path, reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_GET
from joserfc.errors import JoseError

from bff_sessions import sign_in, sign_in_parameters

logger = logging.getLogger("sample_project.oidc")

provider = OAuth().register(
    "provider",
    server_metadata_url=f"{settings.OIDC['ISSUER']}/.well-known/openid-configuration",
    client_id=settings.OIDC["CLIENT_ID"],
    client_secret=settings.OIDC["CLIENT_SECRET"],
    client_kwargs={
        "scope": "openid profile",
        "code_challenge_method": "S256",
        "default_timeout": 5,  # seconds
    },
)
# Authlib raises these if the provider refuses, a token is not valid or there is no answer.
FAULTS = (AuthlibBaseError, JoseError, requests.RequestException)


@require_GET
def sign_in_page(request):
    """Show the sign-in page."""
    if request.user.is_authenticated:
        return redirect("home")
    return _render_page(request)


@require_GET
def authorize(request):
    """Redirect the browser to the provider, and store the expected answer in the session."""
    request.session["return_to"] = request.GET.get("next", "")
    try:
        callback_url = request.build_absolute_uri(reverse("callback"))
        return provider.authorize_redirect(request, callback_url, **sign_in_parameters(request))
    except FAULTS as error:
        return _failed(request, error)


@require_GET
def callback(request):
    """Sign in with the code that the provider has added to its redirect."""
    try:
        token = provider.authorize_access_token(request)
        claims = token["userinfo"]
    except (*FAULTS, KeyError) as error:  # KeyError: the answer has no ID token.
        return _failed(request, error)
    return_to = request.session.pop("return_to", "")
    # In the place of login(): also stores the claims and the tokens in the session.
    sign_in(request, _user_of(claims), token)
    is_ours = url_has_allowed_host_and_scheme(
        return_to, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return redirect(return_to if is_ours else "home")


def _user_of(claims):
    """Return Django's user for the person in `claims`.

    The user name is a digest, because `sub` is unique for its issuer only, and the two together may
    be longer than a user name.
    """
    name = hashlib.sha256(f"{claims['iss']} {claims['sub']}".encode()).hexdigest()[:40]
    user, _ = get_user_model().objects.get_or_create(
        username=name,
        defaults={"password": make_password(None), "first_name": claims.get("name", "")[:150]},
    )
    return user


def _render_page(request, **context):
    context |= {"issuer": settings.OIDC["ISSUER"], "next": request.GET.get("next", "")}
    return render(request, "sample_project/sign_in_at_provider.html", context)


def _failed(request, error):
    # Only the class, because the text may contain the answer of the provider.
    logger.warning("The sign-in at the provider failed: %s", type(error).__name__)
    response = _render_page(request, failed=True)
    response.status_code = 400
    return response


urlpatterns = [
    path("sign-in", sign_in_page, name="sign-in"),
    path("oidc/authorize", authorize, name="authorize"),
    path("oidc/callback", callback, name="callback"),
]
