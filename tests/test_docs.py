"""What can be set is documented, and what is documented can be set."""

import re
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
NAME = r"(?:DADC_[A-Z_]+|DATABASE_URL|REDIS_URL|WEB_CONCURRENCY)"


def test_every_setting_is_in_the_operations_guide_and_the_other_way_round() -> None:
    settings = (PROJECT / "dadc_server" / "settings.py").read_text()
    serve = (PROJECT / "dadc_server" / "serve.py").read_text()
    read = set(re.findall(rf"""env[.a-z_]*\(\s*["']({NAME})""", settings))
    read |= {"DADC_HOST"} if "DADC_HOST" in serve else set()
    guide = (PROJECT / "docs" / "operations.md").read_text()
    documented = set(re.findall(rf"^\| `({NAME})` \|", guide, flags=re.MULTILINE))
    assert documented == read


def test_links_between_documents_lead_somewhere() -> None:
    for page in [PROJECT / "README.md", *(PROJECT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
