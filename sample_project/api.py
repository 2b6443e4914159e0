"""Call an API on behalf of the user. The browser calls this view, and never sees a token."""

import requests
from django.conf import settings
from django.http import HttpResponse, JsonResponse
from django.views.decorators.http import require_GET

from bff_sessions import get_access_token
from bff_sessions.exceptions import ProviderUnavailable, SessionBusy, SignInRequired


@require_GET
def hello(request):
    try:
        token = get_access_token(request)
        answer = requests.get(
            f"{settings.OIDC['ISSUER']}/api/hello",
            headers={"Authorization": f"Bearer {token}"},
            timeout=5,
        )
    except SignInRequired:
        return JsonResponse({"error": "sign_in_required"}, status=401)
    except (ProviderUnavailable, SessionBusy, requests.RequestException):
        return JsonResponse({"error": "unavailable"}, status=503)
    return HttpResponse(answer.content, status=answer.status_code, content_type="application/json")
