"""Behind nginx everything works that works without it, and nobody can say that they are another."""

from __future__ import annotations

import json
import re
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
import requests
from websockets.exceptions import InvalidStatus

from tests import cast, migrated
from tests.proxy.site import Site, front, make_world, site

pytestmark = pytest.mark.slow

PLAIN = {"Accept-Encoding": "identity"}
FORGED = {
    "X-Forwarded-For": "198.51.100.9",
    "X-Real-IP": "198.51.100.9",
    "Forwarded": "for=198.51.100.9;proto=http",
    "X-Forwarded-Proto": "http",
    "X-Forwarded-Host": "evil.example",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("proxied")
    migrated.instance(folder)
    make_world(folder, anna="annotator", olive="owner")
    return folder


@pytest.fixture(scope="module")
def own_host(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    limits = "sandbox-predict@address=3/0.01 sandbox-predict=100/10"
    with site(tmp_path_factory.mktemp("nginx"), data, DADC_LIMITS=limits) as made:
        yield made


@pytest.fixture(scope="module")
def shared_host(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("nginx"), data, path="/a/dadc") as made:
        yield made


def predict_and_submit(where: Site, session: requests.Session, seed: int) -> dict[str, Any]:
    drawing = cast.drawing(seed)
    with where.socket("digits", session) as client:
        assert json.loads(client.recv(timeout=20))["type"] == "ready"
        client.send(json.dumps({"type": "predict", "seq": 1, "input": drawing}))
        answer = json.loads(client.recv(timeout=20))
        assert (answer["type"], answer["seq"]) == ("prediction", 1)
        submission = {"client_id": str(uuid.uuid4()), "input": drawing, "label": "1"}
        client.send(json.dumps({"type": "submit", **submission}))
        accepted = json.loads(client.recv(timeout=20))
    assert (accepted["type"], accepted["client_id"]) == ("accepted", submission["client_id"])
    return dict(accepted)


def test_somebody_signs_in_draws_and_submits(own_host: Site) -> None:
    session = own_host.signed_in("anna")
    assert {cookie.secure for cookie in session.cookies} == {True}
    home = session.get(own_host.url)
    assert home.headers["Strict-Transport-Security"].startswith("max-age=31536000")
    assert home.headers["Content-Encoding"] == "gzip"

    accepted = predict_and_submit(own_host, session, 1)

    mine = session.get(f"{own_host.url}api/v1/examples/", params={"mine": "1"}).json()["results"]
    assert accepted["id"] in {example["id"] for example in mine}


def test_a_form_without_its_secret_or_from_another_site_is_refused(own_host: Site) -> None:
    session = own_host.session()
    page = session.get(f"{own_host.url}accounts/login/")
    form = {"login": "anna", "password": cast.PASSWORD}
    assert session.post(page.url, form, headers={"Referer": page.url}).status_code == 403
    form["csrfmiddlewaretoken"] = page.text.split('name="csrfmiddlewaretoken" value="')[1][:64]
    for origin in ("https://evil.example", "https://localhost:1"):
        assert session.post(page.url, form, headers={"Origin": origin}).status_code == 403


def test_a_websocket_from_another_site_is_refused(own_host: Site) -> None:
    session = own_host.session()
    with pytest.raises(InvalidStatus) as refused:
        own_host.socket("digits", session, origin="https://evil.example")
    assert refused.value.response.status_code == 403


def test_a_forged_address_changes_no_limit(own_host: Site) -> None:
    drawing = {"input": cast.drawing(1)}

    def predict(number: int, host: str) -> int:
        forged = {**FORGED, "X-Forwarded-For": f"198.51.100.{number}"}
        guest = own_host.session()
        address = f"{host}api/v1/tasks/digits/predictions/"
        return guest.post(address, json=drawing, headers=forged).status_code

    answers = [predict(number, own_host.url) for number in range(5)]

    assert set(answers[3:]) == {429}, "three at once, of which other tests may have spent some"


def test_a_forged_host_or_scheme_is_not_passed_on(own_host: Site) -> None:
    answer = own_host.session().get(f"{own_host.url}me/work", headers=FORGED)
    assert answer.ok, "not sent to https again: the scheme is what nginx saw"
    assert "evil.example" not in answer.text
    elsewhere = own_host.session().get(own_host.url, headers={"Host": "evil.example"})
    assert elsewhere.status_code == 400


def test_too_large_a_body_is_a_sentence(own_host: Site) -> None:
    body = b"x" * (5 << 20)
    call = own_host.session().post(f"{own_host.url}api/v1/tasks/digits/predictions/", data=body)
    assert call.status_code == 413
    assert call.json()["error"]["code"] == "too_large"
    page = own_host.session().post(f"{own_host.url}accounts/login/", data=body)
    assert (page.status_code, page.headers["Content-Type"]) == (413, "text/plain")
    assert "too large" in page.text


def test_while_the_server_starts_anew_people_and_scripts_are_told(tmp_path: Path) -> None:
    with front(tmp_path) as nobody:
        page = nobody.session().get(nobody.url)
        call = nobody.session().get(f"{nobody.url}api/v1/tasks/")
    assert (page.status_code, call.status_code) == (503, 503)
    assert "Try again" in page.text
    assert call.json()["error"]["code"] == "unavailable"
    assert page.headers["Retry-After"] == call.headers["Retry-After"] == "2"


def test_plain_http_is_sent_to_https(own_host: Site) -> None:
    answer = requests.get(f"http://localhost:{own_host.http}/tasks/digits/", allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (
        301,
        f"{own_host.url}tasks/digits/",
    )


def test_what_is_for_the_operator_stays_inside(own_host: Site, shared_host: Site) -> None:
    for where in (own_host, shared_host):
        for name in ("metrics", "readyz"):
            assert where.session().get(f"{where.url}{name}").status_code == 404
            own = f"http://127.0.0.1:{where.web}/{name}"
            assert requests.get(own, headers={"Host": "10.0.0.5:8000"}).status_code == 200
        elsewhere = requests.get(f"http://127.0.0.1:{where.web}/", headers={"Host": "10.0.0.5"})
        assert elsewhere.status_code == 400, "pages keep to their names"


def test_static_files_are_compressed_and_kept_for_ever(own_host: Site) -> None:
    page = own_host.session().get(own_host.url).text
    sheet = re.search(r'href="(/static/css/dadc\.\w+\.css)"', page)
    assert sheet
    answer = own_host.session().get(urljoin(own_host.url, sheet[1]))
    assert answer.headers["Content-Encoding"] in {"br", "gzip"}
    assert answer.headers["Cache-Control"] == "max-age=315360000, public, immutable"
    assert "Accept-Encoding" in answer.headers["Vary"]
    again = {"If-Modified-Since": answer.headers["Last-Modified"]}
    assert own_host.session().get(answer.url, headers=again).status_code == 304
    part = own_host.session().get(answer.url, headers={"Range": "bytes=0-9", **PLAIN})
    assert (part.status_code, len(part.content)) == (206, 10)
    assert own_host.session().head(answer.url).content == b""
    assert "synchronous iterators" not in own_host.log.read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_web_process_serves_without_torch(own_host: Site) -> None:
    predict_and_submit(own_host, own_host.signed_in("anna"), 3)

    loaded = own_host.libraries()

    assert "onnxruntime" in loaded
    assert not {"torch", "sklearn"} & loaded


LINK = re.compile(r"""(?:href|src|action|data-[a-z-]+|hx-[a-z]+)=["'](/[^"'#]*)""")
ADDRESS_IN_JSON = re.compile(r'"(?:api|socket|[a-z]+Url|next)": ?"(/[^"]*)"')


def test_every_address_below_a_path_is_below_it(shared_host: Site) -> None:
    session = shared_host.signed_in("olive")
    assert {cookie.path for cookie in session.cookies} == {"/a/dadc/"}
    waiting, seen = [shared_host.url], set[str]()
    while waiting:
        page = session.get(waiting.pop())
        assert page.ok or page.status_code == 405, f"{page.url}: {page.status_code}"
        if "text/html" not in page.headers.get("Content-Type", ""):
            continue
        for path in {*LINK.findall(page.text), *ADDRESS_IN_JSON.findall(page.text)}:
            assert path.startswith("/a/dadc/"), f"{path} on {page.url}"
            short = urlsplit(path).path
            if short not in seen and not re.search(r"/ws/|logout|/api/v1/$|token|\.jsonl", short):
                seen.add(short)
                waiting.append(urljoin(page.url, short))
    assert {f"/a/dadc/{page}" for page in ("tasks/digits/", "admin/", "accounts/me/")} <= seen
    assert any("/static/js/annotate." in path for path in seen)


def test_below_a_path_somebody_draws_and_submits(shared_host: Site) -> None:
    session = shared_host.signed_in("anna")
    predict_and_submit(shared_host, session, 2)
    schema = session.get(f"{shared_host.url}api/v1/schema/", params={"format": "json"})
    assert "/a/dadc" in schema.text
    assert session.get(shared_host.url.rstrip("/")).url == shared_host.url
    root = session.get(f"https://localhost:{shared_host.https}/")
    assert root.text == "somebody else's site"
