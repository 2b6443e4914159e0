"""Signing in through an OpenID provider, with Authlib's client for Django.

Signing out is POST bff/logout of bff_sessions.
"""

import hashlib
import logging

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.django_client import OAuth
from django.conf import settings
from django.contrib.auth import get_user_model, login
from django.contrib.auth.hashers import make_password
from django.shortcuts import redirect, render
from django.urls import path, reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_GET
from joserfc.errors import JoseError

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
# What Authlib raises: a refusal by the provider, a token that is not right, no answer at all.
FAULTS = (AuthlibBaseError, JoseError, requests.RequestException)


@require_GET
def sign_in(request):
    """Where somebody lands who is not signed in."""
    if request.user.is_authenticated:
        return redirect("home")
    return _sign_in_page(request)


@require_GET
def authorize(request):
    """Send the browser to the provider; what it must bring back is kept in the session."""
    request.session["return_to"] = request.GET.get("next", "")
    try:
        return provider.authorize_redirect(request, request.build_absolute_uri(reverse("callback")))
    except FAULTS as error:
        return _failed(request, error)


@require_GET
def callback(request):
    """The provider sends the browser back here, with a code to be exchanged for the tokens."""
    try:
        token = provider.authorize_access_token(request)
        claims = token["userinfo"]
    except (*FAULTS, KeyError) as error:  # KeyError: an answer without id token.
        return _failed(request, error)
    return_to = request.session.pop("return_to", "")
    login(request, _user_of(claims))
    # Here bff_sessions finds iss, sub and sid, what GET bff/user shows, and the id token.
    request.session["oidc"] = {
        **claims,
        "id_token": token["id_token"],
        "access_token": token["access_token"],
        "refresh_token": token.get("refresh_token"),
        "expires_at": token.get("expires_at"),
        "expires_in": token.get("expires_in"),
        "scope": token.get("scope"),
    }
    is_ours = url_has_allowed_host_and_scheme(
        return_to, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return redirect(return_to if is_ours else "home")


def _user_of(claims):
    """Django's user for the person that the claims name.

    `sub` is unique for its issuer only, and the two together may be longer than a user name.
    """
    name = hashlib.sha256(f"{claims['iss']} {claims['sub']}".encode()).hexdigest()[:40]
    user, _ = get_user_model().objects.get_or_create(
        username=name,
        defaults={"password": make_password(None), "first_name": claims.get("name", "")[:150]},
    )
    return user


def _sign_in_page(request, **context):
    context |= {"issuer": settings.OIDC["ISSUER"], "next": request.GET.get("next", "")}
    return render(request, "sample_project/sign_in_at_provider.html", context)


def _failed(request, error):
    # The name only: the text may hold what the provider sent.
    logger.warning("Signing in at the provider failed: %s", type(error).__name__)
    response = _sign_in_page(request, failed=True)
    response.status_code = 400
    return response


urlpatterns = [
    path("sign-in", sign_in, name="sign-in"),
    path("oidc/authorize", authorize, name="authorize"),
    path("oidc/callback", callback, name="callback"),
]
