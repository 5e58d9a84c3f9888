"""Downloads, from a real HTTP server on this machine."""

import functools
import hashlib
import http.server
import threading
from pathlib import Path

import pytest

from fewgan.plugin import FewganError, UsageError
from fewgan.screen import Screen
from fewgan.sources import download, known

CONTENT = bytes(range(256)) * 20_000  # 5 MB


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `content` at /file; what goes wrong is set on the server."""

    def log_message(self, *args):
        pass

    def do_GET(self):
        site = self.server
        site.asked.append((self.path, self.headers.get("Range"), self.headers.get("If-Range")))
        if self.path != "/file":
            return self.send_error(404)
        content, first, status = site.content, 0, 200
        if self.headers.get("Range") and self.headers.get("If-Range") == site.tag and site.ranges:
            first, status = int(self.headers["Range"].removeprefix("bytes=").rstrip("-")), 206
            if first >= len(content):
                return self.send_error(416)
        self.send_response(status)
        self.send_header("Content-Length", str(len(content) - first))
        self.send_header("ETag", site.tag)
        self.end_headers()
        cut = site.cuts.pop(0) if site.cuts else len(content)
        self.wfile.write(content[first:cut])
        return None


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setattr(download, "PAUSE", 0.01)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.content, server.tag, server.ranges, server.cuts, server.asked = CONTENT, '"one"', True, [], []
    server.url = f"http://127.0.0.1:{server.server_address[1]}/file"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


SHA256 = hashlib.sha256(CONTENT).hexdigest()


def fetch(site, path, sha256=None, url=None):
    sha256 = sha256 or SHA256
    download.download(url or site.url, path, sha256=sha256, screen=Screen(quiet=True), otherwise="get it elsewhere")


def left(folder):
    return sorted(file.name for file in folder.iterdir() if file.name != ".lock")


def test_a_file_comes_whole_and_once(site, tmp_path):
    path = tmp_path / "new" / "file.bin"
    fetch(site, path, hashlib.sha256(CONTENT).hexdigest())
    fetch(site, path)
    assert path.read_bytes() == CONTENT
    assert len(site.asked) == 1
    assert left(path.parent) == ["file.bin"]


def test_it_goes_on_where_it_broke_off(site, tmp_path):
    site.cuts = [1_000_000, 3_000_000]
    fetch(site, tmp_path / "file.bin", hashlib.sha256(CONTENT).hexdigest())
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert [asked[1] for asked in site.asked] == [None, "bytes=1000000-", "bytes=3000000-"]


def test_a_later_call_goes_on_too(site, tmp_path):
    site.cuts = [500_000] * download.TRIES
    with pytest.raises(FewganError, match=r"broke off at 500000 of 5120000 bytes\); get it elsewhere"):
        fetch(site, tmp_path / "file.bin")
    assert left(tmp_path) == ["file.bin.part", "file.bin.part.json"]
    fetch(site, tmp_path / "file.bin", hashlib.sha256(CONTENT).hexdigest())
    assert site.asked[-1][1] == "bytes=500000-"
    assert left(tmp_path) == ["file.bin"]


def test_a_file_that_changed_meanwhile_is_begun_anew(site, tmp_path):
    site.cuts = [500_000] * download.TRIES
    with pytest.raises(FewganError):
        fetch(site, tmp_path / "file.bin")
    site.content, site.tag = CONTENT[::-1], '"two"'
    fetch(site, tmp_path / "file.bin", hashlib.sha256(site.content).hexdigest())
    assert (tmp_path / "file.bin").read_bytes() == CONTENT[::-1]


def test_a_server_without_ranges(site, tmp_path):
    site.ranges, site.cuts = False, [700_000]
    fetch(site, tmp_path / "file.bin")
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_beginning_that_is_longer_than_the_file(site, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT + b"more")
    (tmp_path / "file.bin.part.json").write_text('{"tag": "\\"one\\""}')
    fetch(site, tmp_path / "file.bin")
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("noise", ["[]", "{", '{"tag": null}'])
def test_a_beginning_of_unknown_origin_is_not_trusted(site, tmp_path, noise):
    (tmp_path / "file.bin.part").write_bytes(b"something else")
    (tmp_path / "file.bin.part.json").write_text(noise)
    fetch(site, tmp_path / "file.bin")
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_the_wrong_file_is_thrown_away(site, tmp_path):
    with pytest.raises(FewganError, match=r"its SHA-256 is \w{16}…, and 0{16}… was expected"):
        fetch(site, tmp_path / "file.bin", "0" * 64)
    assert left(tmp_path) == []


def test_what_is_not_there_and_no_network(site, tmp_path):
    with pytest.raises(FewganError, match=r"gone: could not be downloaded \(.*404.*\); get it elsewhere"):
        fetch(site, tmp_path / "file.bin", url=site.url.replace("/file", "/gone"))
    site.shutdown()
    site.server_close()
    with pytest.raises(FewganError, match=r"refused.*; get it elsewhere"):
        fetch(site, tmp_path / "file.bin")
    assert not (tmp_path / "file.bin").exists()


def test_a_folder_that_cannot_be_made(site, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FewganError, match="could not be downloaded"):
        fetch(site, tmp_path / "file" / "file.bin")


def test_two_at_once_load_it_once(site, tmp_path):
    threads = [threading.Thread(target=fetch, args=(site, tmp_path / "file.bin")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert len(site.asked) == 1


def test_a_damaged_file_is_replaced_and_a_whole_one_of_another_process_stays(site, tmp_path, monkeypatch):
    monkeypatch.setenv("FEWGAN_CACHE", str(tmp_path))
    kept = download.fetch(site.url, SHA256)
    assert download.fetch(site.url, SHA256) == kept
    assert len(site.asked) == 1
    kept.write_bytes(b"damaged")
    assert download.fetch(site.url, SHA256).read_bytes() == CONTENT
    assert len(site.asked) == 2
    there = []  # another process ends between the look and the download

    def late(*arguments, **more):
        there.append(kept.exists())
        kept.write_bytes(CONTENT)
        return before(*arguments, **more)

    before = download.download
    kept.write_bytes(b"damaged")
    monkeypatch.setattr(download, "download", late)
    assert download.fetch(site.url, SHA256).read_bytes() == CONTENT
    assert there == [True]
    assert len(site.asked) == 2


@pytest.fixture
def table(site, monkeypatch, tmp_path):
    entries = {
        "plain": {"get": "https://a.page", "files": [{"name": "G.pth", "url": site.url, "sha256": SHA256}]},
        "unsure": {"get": "https://a.page", "files": [{"name": "G.pth", "url": site.url}]},
        "manual": {"get": "https://a.page", "files": [{"name": "G_ema.pth"}, {"name": "D.pth"}]},
    }
    monkeypatch.setattr(known, "sources", functools.partial(dict, entries))
    monkeypatch.setenv("FEWGAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "sources"


def test_a_known_source_is_fetched_once(table, site):
    assert known.locate("plain", Screen(quiet=True)) == table / "plain"
    assert (table / "plain" / "G.pth").read_bytes() == CONTENT
    known.locate("plain")
    assert len(site.asked) == 1


def test_what_has_no_known_hash_is_not_downloaded(table, site):
    with pytest.raises(UsageError, match=r"is not downloaded by fewgan; get it from https://a\.page"):
        known.locate("unsure")
    assert not site.asked


def test_a_source_without_a_plain_download_says_what_to_do(table):
    with pytest.raises(UsageError) as caught:
        known.locate("manual")
    for words in ("https://a.page", "G_ema.pth and D.pth", str(table / "manual")):
        assert words in str(caught.value)
    (table / "manual").mkdir(parents=True)
    (table / "manual" / "G_ema.pth").touch()
    with pytest.raises(UsageError, match=r"put D\.pth into"):
        known.locate("manual")
    (table / "manual" / "D.pth").touch()
    assert known.locate("manual") == table / "manual"


def test_what_is_typed_for_a_run_is_understood(table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "00012-cats").mkdir(parents=True)
    for number in ("12", "00012"):
        with pytest.raises(UsageError, match=rf"^{number}: no such file or folder; did you mean runs/00012-cats\?$"):
            known.locate(number)
    with pytest.raises(UsageError, match=r"^latest: no such file or folder; did you mean runs/00012-cats\?$"):
        known.locate("latest")
    with pytest.raises(
        UsageError, match=r"^https://x\.y/z\.pkl: addresses are not fetched; download the file and give its path$"
    ):
        known.locate(Path("https://x.y/z.pkl"))


def test_an_unknown_name_is_told_the_known_ones(table, tmp_path):
    with pytest.raises(UsageError, match=r"manuel: no such file or folder; did you mean manual\?"):
        known.locate("manuel")
    with pytest.raises(UsageError, match="known by name: plain, unsure, manual"):
        known.locate("xyz")
    assert known.locate(tmp_path) == tmp_path


def test_the_table_itself():
    for name, entry in known.sources().items():
        assert entry["summary"], name
        assert entry["licence"], name
        assert entry.get("packaged") or entry["get"].startswith("https://"), name
        for file in entry["files"]:
            assert file["name"] == file["name"].split("/")[-1]
            assert "url" not in file or (entry.get("base", "") + file["url"]).startswith("https://")
    assert known.DEFAULT in known.sources()
