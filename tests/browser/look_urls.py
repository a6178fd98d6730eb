"""The product's pages and, for tests of the look, those that only DEBUG serves."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path

from dropstream import urls
from dropstream.styleguide import KEY, styleguide

__all__ = ["KEY", "posts", "urlpatterns"]

posts: list[dict[str, str]] = []


def sample(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        posts.append({key: str(value) for key, value in request.POST.items()})
    return styleguide(request)


def old_form(request: HttpRequest) -> HttpResponse:
    return render(request, "403_csrf.html")


urlpatterns = [
    path("", sample),
    path("sample/", sample),
    path("old-form/", old_form),
    *urls.urlpatterns,
]
