"""Describe a dataset as Croissant 1.0 metadata, which search engines and mlcroissant read.

Each split is a record set. A field of a list, an object or mixed types is described as text, because Croissant has no
common type for it: its value in the file is JSON.
"""

from collections.abc import Mapping
from typing import Any

from synthgen.ledger.durable import sha256
from synthgen.records import Json

_CONTEXT: Json = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
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
}
_ENCODINGS = {"jsonl": "application/jsonlines", "csv": "text/csv", "parquet": "application/x-parquet"}
_TYPES = {"bool": "sc:Boolean", "int64": "sc:Integer", "float64": "sc:Float"}


def croissant(info: Json, files: Mapping[str, bytes], form: str, licence: str | None) -> Json:
    """Return the metadata of a dataset. `info` is its dataset_info.json, and `files` its files with samples."""
    splits = {name.removesuffix(f".{form}"): data for name, data in files.items() if data}
    columns: Mapping[str, Any] = info["features"] or {}
    described = [
        {
            "@type": "cr:FileObject",
            "@id": f"{split}.{form}",
            "name": f"{split}.{form}",
            "contentUrl": f"{split}.{form}",
            "contentSize": f"{len(data)} B",
            "encodingFormat": _ENCODINGS[form],
            "sha256": sha256(data),
        }
        for split, data in splits.items()
    ]
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": info["dataset_name"],
        "description": info["description"] or f"Samples of the task {info['dataset_name']}.",
        **({"license": licence} if licence else {}),
        "version": info["version"],
        "creator": {"@type": "sc:Organization", "name": "synthgen"},
        "keywords": ["synthetic", "synthgen"],
        "distribution": described,
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": split,
                "name": split,
                "field": [_field(split, form, name, kind) for name, kind in columns.items()],
            }
            for split in splits
            if columns
        ],
    }


def _field(split: str, form: str, name: str, kind: Any) -> Json:
    return {
        "@type": "cr:Field",
        "@id": f"{split}/{name}",
        "name": name,
        "dataType": _TYPES.get(kind.get("dtype", ""), "sc:Text"),
        "source": {"fileObject": {"@id": f"{split}.{form}"}, "extract": {"column": name}},
    }
