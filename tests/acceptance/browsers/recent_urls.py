from django.http import HttpResponse
from django.urls import path

from bff_sessions import recent_sign_in
from sample_project.urls import urlpatterns as of_sample


@recent_sign_in(max_age=5)
def pay(request):
    return HttpResponse("<title>Paid</title><h1>Paid</h1>")


@recent_sign_in(acr="urn:sample:code")
def strong(request):
    return HttpResponse("<title>Strong</title><h1>Strong</h1>")


@recent_sign_in(acr="urn:sample:unknown")
def stronger(request):
    return HttpResponse("<title>Stronger</title><h1>Stronger</h1>")


urlpatterns = [
    *of_sample,
    path("pay", pay),
    path("strong", strong),
    path("stronger", stronger),
]
