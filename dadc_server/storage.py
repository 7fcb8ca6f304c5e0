"""Static files under names that hold their hash, so that browsers may keep them for ever."""

from typing import ClassVar

from django.contrib.staticfiles.storage import ManifestFilesMixin
from whitenoise.storage import CompressedManifestStaticFilesStorage


class StaticStorage(CompressedManifestStaticFilesStorage):
    """Also rewrites `import … from "./x.js"` to the hashed names, in this project's ES modules.

    In other packages' scripts the rule meets `import(…)` inside comments, takes it for a file that
    is missing, and collectstatic fails.
    """

    support_js_module_import_aggregation = True
    _js_module_import_aggregation_patterns: ClassVar = (
        "js/*.js",
        ManifestFilesMixin._js_module_import_aggregation_patterns[1],  # type: ignore[attr-defined]
    )
