from django.conf import settings
from django.contrib.auth import login
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import LoginView
from django.shortcuts import redirect, render

from bff_sessions import bind_identity
from bff_sessions.contract import UserSessionsFilter
from bff_sessions.stores import get_store
from sample_project.provider import authenticated_claims


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
        return redirect(self.get_success_url())


@login_required
def home(request):
    """The session as the server sees it, beside the others of the same subject."""
    store = get_store()
    current = store.get_user_session(request.session.store_key)
    if current is None:  # It has ended since the request came in.
        return redirect("sign-in")
    # A subject is one person at one issuer only, so both must match.
    mine = UserSessionsFilter(
        subject_id=current.subject_id, issuer=current.issuer, partition=current.partition
    )
    context = {"current": current, "sessions": store.get_user_sessions(mine)}
    return render(request, "sample_project/home.html", context)
