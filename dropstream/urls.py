"""Includes only."""

from django.conf import settings
from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from dropstream.styleguide import styleguide

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="connections:list"), name="home"),
    path("", include("connections.urls")),
    path("people/", include("allauth.urls")),
    path(f"{settings.ADMIN_PATH}/", admin.site.urls),
]

if settings.DEBUG:
    urlpatterns += [path("styleguide/", styleguide)]
