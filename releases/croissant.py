"""croissant.json: what machines read of a release, in Croissant 1.1; no Django.

Its record sets point at the Parquet files, because what mlcroissant reads of JSON lines is
rewritten on the way ("0012" becomes 12). Its context must stand in it: no network is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pyarrow as pa

from releases.columns import MOMENT, PICTURE, rounds_schema
from releases.folders import ROUNDS

CONFORMS_TO: Final = "http://mlcommons.org/croissant/1.1"
_CONTEXT: Final = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "arrayShape": "cr:arrayShape",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
    "unArchive": "cr:unArchive",
    "value": "cr:value",
}


def croissant(
    about: Mapping[str, Any],
    schema: pa.Schema,
    files: Mapping[str, tuple[str, int]],
) -> dict[str, Any]:
    """The whole file; `files` are its Parquet files by their paths, with SHA-256 and bytes."""
    described = [
        {
            "@type": "cr:FileObject",
            "@id": path.rpartition("/")[2],
            "name": path.rpartition("/")[2],
            "contentUrl": path,
            "contentSize": f"{files[path][1]} B",
            "encodingFormat": "application/x-parquet",
            "sha256": files[path][0],
        }
        for path in sorted(files)
    ]
    sets = [
        _record_set(path.rpartition("/")[2], rounds_schema() if path == ROUNDS else schema)
        for path in sorted(files)
    ]
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": f"{about['task']}-{about['version']}",
        "description": about["description"],
        "license": about["licence"],
        "version": about["version"],
        "datePublished": about["frozen_at"],
        "url": about["url"],
        "citeAs": about["citation"],
        "creator": {"@type": "sc:Organization", "name": about["publisher"]},
        "distribution": described,
        "recordSet": sets,
    }


def _record_set(name: str, schema: pa.Schema) -> dict[str, Any]:
    home = name.removesuffix(".parquet")
    return {
        "@type": "cr:RecordSet",
        "@id": home,
        "name": home,
        "field": [
            _field(f"{home}/{field.name}", field.type, {"fileObject": {"@id": name}}, field.name)
            for field in schema
        ],
    }


def _field(home: str, kind: pa.DataType, file: Mapping[str, Any], column: str) -> dict[str, Any]:
    field: dict[str, Any] = {"@type": "cr:Field", "@id": home, "name": home}
    source = {**file, "extract": {"column": column}}
    if column == PICTURE:
        source = {**source, "transform": {"jsonPath": "bytes"}}
        return {**field, "dataType": "sc:ImageObject", "source": source}
    repeated = {}
    if pa.types.is_list(kind):
        kind, repeated = kind.value_type, {"repeated": True}
    if pa.types.is_struct(kind):
        return {**field, **repeated, "subField": _parts(home, kind, source, [])}
    return {**field, **repeated, "dataType": _type(kind), "source": source}


def _parts(
    home: str, kind: pa.DataType, source: Mapping[str, Any], path: list[str]
) -> list[dict[str, Any]]:
    """Each leaf of a struct, by its path within it."""
    parts = []
    for part in kind:
        here = [*path, part.name]
        if pa.types.is_struct(part.type):
            parts += _parts(home, part.type, source, here)
            continue
        several = pa.types.is_list(part.type)
        leaf = part.type.value_type if several else part.type
        place = ".".join(here)
        parts.append(
            {
                "@type": "cr:Field",
                "@id": f"{home}/{place}",
                "name": f"{home}/{place}",
                "dataType": _type(leaf),
                "source": {**source, "transform": {"jsonPath": place}},
            }
        )
    return parts


def _type(kind: pa.DataType) -> str:
    if pa.types.is_boolean(kind):
        return "sc:Boolean"
    if pa.types.is_integer(kind):
        return "sc:Integer"
    if pa.types.is_floating(kind):
        return "sc:Float"
    return "sc:Date" if kind == MOMENT else "sc:Text"
