"""REST: the releases of a task, and their files."""

from __future__ import annotations

from typing import Any

from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotate.rest import task_or_404
from core.errors import Refused
from releases import downloads
from releases.models import Release
from releases.queries import by_version, visible_releases, withdrawn_since


class FileSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    sha256 = serializers.CharField()


class ReleaseSerializer(serializers.Serializer[Any]):
    """One version; `withdrawn`: how many of its examples were taken back since. One that was
    replaced has no files for others than the task's owners."""

    version = serializers.CharField()
    frozen_at = serializers.DateTimeField()
    public = serializers.BooleanField()
    licence = serializers.CharField()
    examples = serializers.IntegerField()
    votes = serializers.IntegerField()
    authors = serializers.IntegerField()
    validators = serializers.IntegerField()  # type: ignore[assignment]  # a field of this name
    bytes = serializers.IntegerField()
    withdrawn = serializers.IntegerField()
    replaced_by = serializers.CharField(help_text="The version that stands for it; or empty.")
    public_key = serializers.CharField()
    files = FileSerializer(many=True, help_text="Empty where this machine does not have them.")


class ReleasesSerializer(serializers.Serializer[Any]):
    task = serializers.CharField()
    releases = ReleaseSerializer(many=True)


class Releases(APIView):
    permission_classes = [AllowAny]

    @extend_schema(
        summary="A task's releases, newest first", tags=["releases"], responses=ReleasesSerializer
    )
    def get(self, request: Request, slug: str) -> Response:
        task = task_or_404(request, slug)
        releases = by_version(visible_releases(task, request.user))
        gone = withdrawn_since(releases)
        mine = any(one.replaced_by for one in releases) and task.is_owned_by(request.user)
        found = [_summary(release, gone.get(release.pk, 0), mine=mine) for release in releases]
        return Response(ReleasesSerializer({"task": slug, "releases": found}).data)


class RoundsQuery(serializers.Serializer[Any]):
    """Of README.md: its configs are then of these rounds, whose tables somebody takes alone."""

    round = serializers.ListField(child=serializers.IntegerField(), required=False)


class ReleaseFile(APIView):
    permission_classes = [AllowAny]

    @extend_schema(
        summary="A file of a release, or the part that a Range asks for",
        tags=["releases"],
        parameters=[RoundsQuery],
        responses={(200, "application/octet-stream"): OpenApiResponse(OpenApiTypes.BINARY)},
    )
    def get(self, request: Request, slug: str, version: str, name: str) -> HttpResponseBase:
        task = task_or_404(request, slug)
        release = visible_releases(task, request.user, files=True).filter(version=version).first()
        if release is None:
            raise Refused("not_found", "There is no such release.", status=404)
        return downloads.one(request._request, release, name)


def _summary(release: Release, withdrawn: int, *, mine: bool) -> dict[str, Any]:
    there = release.home and (mine or not release.replaced_by)
    about, sums = release.about, release.files if there else {}
    return {
        "version": release.version,
        "frozen_at": release.frozen_at,
        "public": release.public,
        **{name: about[name] for name in ("licence", "bytes", "public_key")},
        **{name: about["figures"][name] for name in ("examples", "votes", "authors", "validators")},
        "withdrawn": withdrawn,
        "replaced_by": release.replaced_by,
        "files": [{"name": name, "sha256": sha256} for name, sha256 in sums.items()],
    }
