from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.shortcuts import redirect, render

from bff_sessions.contract import UserSessionsFilter
from bff_sessions.stores import get_store


@login_required
def home(request):
    """Show the session as the server stores it, and the other sessions of the subject."""
    store = get_store()
    current = store.get_user_session(request.session.store_key)
    if current is None:  # It has ended since the request began.
        return redirect("sign-in")
    context = {
        "current": current,
        "sessions": store.query_user_sessions(UserSessionsFilter.of_subject(current)).sessions,
        "is_at_provider": bool(settings.OIDC) and current.issuer == settings.OIDC["ISSUER"],
    }
    return render(request, "sample_project/home.html", context)
