"""Where a project may include the endpoints."""

from django.conf.urls.i18n import i18n_patterns
from django.urls import include, path, re_path

ours = include("bff_sessions.urls")


of_shop = include("bff_sessions.urls", namespace="shop")


class Urls:
    """A URLconf that is not a module."""

    def __init__(self, *urlpatterns):
        self.urlpatterns = list(urlpatterns)


def nested(name, *patterns):
    return include((list(patterns), name))


# Where the endpoints are, and which URLs put them there.
PLACES = {
    "/bff": Urls(path("bff/", ours)),
    "/api/bff": Urls(path("api/", nested("api", path("bff/", ours)))),
    "/v1/api/bff": Urls(path("v1/", nested("v1", path("api/", nested("api", path("bff/", ours)))))),
    "/v2/bff": Urls(
        path("v1/", include(([path("bff/", ours)], "api"), namespace="v1")),
        path("v2/", include(([path("bff/", ours)], "api"), namespace="v2")),
    ),
    "/shop/bff": Urls(path("bff/", ours), path("shop/bff/", of_shop)),
    "/first/bff": Urls(path("first/bff/", ours), path("second/bff/", of_shop)),
    # The namespace is the name of another application.
    "/clash/bff": Urls(
        path("other/", include(([], "shop"), namespace="other")), path("clash/bff/", of_shop)
    ),
    "/acme/bff": Urls(path("<slug:tenant>/bff/", ours)),
    "/acme/7/bff": Urls(path("<slug:tenant>/", nested("api", path("<int:version>/bff/", ours)))),
    "/acme/regex/bff": Urls(re_path(r"^(?P<tenant>\w+)/regex/bff/", ours)),
    "/extra/bff": Urls(path("extra/bff/", ours, {"tenant": "acme"})),
    "/optional/bff": Urls(re_path(r"^optional/(?:(?P<version>v\d)/)?bff/", ours)),
    "/optional/v1/bff": Urls(re_path(r"^optional/(?:(?P<version>v\d)/)?bff/", ours)),
    "/en-us/bff": Urls(*i18n_patterns(path("bff/", ours))),
    "": Urls(path("", ours)),
}
