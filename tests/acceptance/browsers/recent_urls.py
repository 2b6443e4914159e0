from django.http import HttpResponse
from django.urls import path

from bff_sessions import recent_sign_in
from sample_project.urls import urlpatterns as of_sample


@recent_sign_in(max_age=5)
def pay(request):
    return HttpResponse("<title>Paid</title><h1>Paid</h1>")


urlpatterns = [*of_sample, path("pay", pay)]
