#!/bin/sh
# mlcroissant 1.1.1 reads of a list of objects that stands within another list the first object alone, and says
# nothing: a Parquet column of models, each with the probabilities of its labels as objects, described by
# "jsonPath": "p[*].label" and "p[*].share", passes its validation and comes back with one label and one share. A
# repeated field of sub-fields within another, which would be the other way to write it, passes as well and ends in a
# GenerationError when it is read. Two lists of plain values beside each other, labels and shares, are read whole.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check mlcroissant==1.1.1 pyarrow==26.0.1
cat >"$work/read.py" <<'PY'
import hashlib, json, logging, sys
import mlcroissant, pyarrow as pa, pyarrow.parquet as pq
logging.disable(logging.ERROR)
folder = sys.argv[1]
pair = pa.struct([("label", pa.string()), ("share", pa.float64())])
plain = [("labels", pa.list_(pa.string())), ("shares", pa.list_(pa.float64()))]
kind = pa.list_(pa.struct([("model", pa.string()), ("p", pa.list_(pair)), *plain]))
said = {"model": "m", "p": [{"label": "x", "share": 0.7}, {"label": "y", "share": 0.3}]}
said |= {"labels": ["x", "y"], "shares": [0.7, 0.3]}
pq.write_table(pa.table({"targets": pa.array([[said]], kind)}), f"{folder}/t.parquet")
sha256 = hashlib.sha256(open(f"{folder}/t.parquet", "rb").read()).hexdigest()
context = {"@language": "en", "@vocab": "https://schema.org/", "sc": "https://schema.org/",
           "cr": "http://mlcommons.org/croissant/",
           "dct": "http://purl.org/dc/terms/", "conformsTo": "dct:conformsTo", "recordSet": "cr:recordSet",
           "field": "cr:field", "subField": "cr:subField", "repeated": "cr:repeated", "source": "cr:source",
           "fileObject": "cr:fileObject", "extract": "cr:extract", "column": "cr:column", "transform": "cr:transform",
           "jsonPath": "cr:jsonPath", "dataType": {"@id": "cr:dataType", "@type": "@vocab"}, "citeAs": "cr:citeAs"}

def part(name, path, data_type):
    source = {"fileObject": {"@id": "t.parquet"}, "extract": {"column": "targets"}, "transform": {"jsonPath": path}}
    return {"@type": "cr:Field", "@id": name, "name": name, "dataType": data_type, "source": source}

def read(*parts):
    field = {"@type": "cr:Field", "@id": "targets", "name": "targets", "repeated": True, "subField": list(parts)}
    file = {"@type": "cr:FileObject", "@id": "t.parquet", "name": "t.parquet", "contentUrl": "t.parquet",
            "encodingFormat": "application/x-parquet", "sha256": sha256}
    told = {"@context": context, "@type": "sc:Dataset", "name": "t", "description": "t", "version": "1.0.0",
            "conformsTo": "http://mlcommons.org/croissant/1.1", "url": "https://example.org",
            "datePublished": "2026-01-01", "license": "https://creativecommons.org/licenses/by/4.0/",
            "distribution": [file],
            "recordSet": [{"@type": "cr:RecordSet", "@id": "r", "name": "r", "field": [field]}]}
    json.dump(told, open(f"{folder}/croissant.json", "w"))
    data = mlcroissant.Dataset(f"{folder}/croissant.json")
    try:
        return next(iter(data.records("r")))
    except Exception as error:
        return type(error).__name__

print("wild:", read(part("label", "p[*].label", "sc:Text"), part("share", "p[*].share", "sc:Float")))
inner = [part("p/label", "p.label", "sc:Text"), part("p/share", "p.share", "sc:Float")]
print("repeated:", read({"@type": "cr:Field", "@id": "p", "name": "p", "repeated": True, "subField": inner}))
print("plain:", read(part("labels", "labels", "sc:Text"), part("shares", "shares", "sc:Float")))
PY
"$work/venv/bin/python" "$work/read.py" "$work" 2>/dev/null >"$work/said"
cat "$work/said"
cat >"$work/expected" <<'SAID'
wild: {'targets': [{'label': b'x', 'share': 0.7}]}
repeated: GenerationError
plain: {'targets': [{'labels': [b'x', b'y'], 'shares': [0.7, 0.3]}]}
SAID
diff "$work/expected" "$work/said"
