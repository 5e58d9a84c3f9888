"""A server on loopback that speaks what fewgan uses of the Hugging Face Hub: repositories, commits, LFS, downloads."""

import base64
import hashlib
import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

COMMIT = re.compile(r"/api/models/(?P<repository>[^/]+/[^/]+)/commit/(?P<revision>.+)")
PREUPLOAD = re.compile(r"/api/models/(?P<repository>[^/]+/[^/]+)/preupload/(?P<revision>.+)")
BATCH = re.compile(r"/(?P<repository>[^/]+/[^/]+)\.git/info/lfs/objects/batch")
INFO = re.compile(r"/api/models/(?P<repository>[^/]+/[^/]+)(/revision/(?P<revision>.+))?")
RESOLVE = re.compile(r"/(?P<repository>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)")


class Hub:
    """repositories: name -> commits, each {file: content}, newest last. objects: LFS. requests: what was asked."""

    def __init__(self):
        self.repositories, self.objects, self.requests, self.token = {}, {}, [], "a-token"
        self.private = {}

    def commit(self, repository, files):
        commits = self.repositories.setdefault(repository, [])
        commits.append({**(commits[-1] if commits else {}), **files})
        return sha(repository, len(commits) - 1)

    def find(self, repository, revision):
        """(files, commit), None for a revision that is not there."""
        commits = self.repositories[repository]
        names = {sha(repository, index): index for index in range(len(commits))} | {"main": len(commits) - 1}
        if commits and revision in names:
            return commits[names[revision]], sha(repository, names[revision])
        return None


def sha(repository, index):
    return hashlib.sha1(f"{repository}-{index}".encode()).hexdigest()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def hub(self):
        return self.server.hub

    def log_message(self, *args):
        pass

    def answer(self, content, status=200, **headers):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": len(body), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status, code):
        self.answer({"error": code}, status, X_Error_Code=code, X_Error_Message=code)

    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        pieces = []
        while length := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(length))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def do_GET(self):
        path = unquote(self.path.partition("?")[0])
        self.hub.requests.append((self.command, path))
        if found := INFO.fullmatch(path):
            self.info(found["repository"], found["revision"] or "main")
        elif found := RESOLVE.fullmatch(path):
            self.file(found["repository"], found["revision"], found["file"])
        else:
            self.refuse(404, "EntryNotFound")

    do_HEAD = do_GET

    def info(self, repository, revision):
        if repository not in self.hub.repositories:
            self.refuse(401, "RepoNotFound")
        elif (found := self.hub.find(repository, revision)) is None:
            self.refuse(404, "RevisionNotFound")
        else:
            files, commit = found
            card = re.search(rb'^license: "?([^"\n]+)"?$', files.get("README.md", b""), re.MULTILINE)
            self.answer(
                {
                    "id": repository,
                    "modelId": repository,
                    "sha": commit,
                    "tags": [],
                    "siblings": [{"rfilename": name} for name in files],
                    **({"cardData": {"license": card[1].decode()}} if card else {}),
                }
            )

    def file(self, repository, revision, name):
        if repository not in self.hub.repositories:
            self.refuse(401, "RepoNotFound")
        elif (found := self.hub.find(repository, revision)) is None:
            self.refuse(404, "RevisionNotFound")
        elif name not in found[0]:
            self.refuse(404, "EntryNotFound")
        else:
            etag = hashlib.sha256(found[0][name]).hexdigest()
            self.answer(found[0][name], ETag=f'"{etag}"', X_Repo_Commit=found[1])

    def do_POST(self):
        path, body = unquote(self.path.partition("?")[0]), self.body()
        self.hub.requests.append((self.command, path))
        if self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            self.refuse(401, "Unauthorized")
        elif path == "/api/repos/create":
            asked = json.loads(body)
            repository = f"{asked['organization']}/{asked['name']}"
            self.hub.private[repository] = asked.get("visibility") == "private" or asked.get("private", False)
            status = 409 if repository in self.hub.repositories else 200
            self.hub.repositories.setdefault(repository, [])
            self.answer({"url": f"{self.server.address}/{repository}", "name": repository}, status)
        elif path == "/api/validate-yaml":
            self.answer({"errors": [], "warnings": []})
        elif found := PREUPLOAD.fullmatch(path):
            paths = [file["path"] for file in json.loads(body)["files"]]
            self.answer({"files": [{"path": one, "uploadMode": mode(one), "shouldIgnore": False} for one in paths]})
        elif BATCH.fullmatch(path):
            objects = json.loads(body)["objects"]
            self.answer(
                {
                    "transfer": "basic",
                    "objects": [
                        {**one, "actions": {"upload": {"href": f"{self.server.address}/lfs/{one['oid']}"}}}
                        for one in objects
                    ],
                }
            )
        elif found := COMMIT.fullmatch(path):
            self.commit(found["repository"], [json.loads(line) for line in body.splitlines()])
        else:
            self.refuse(404, "EntryNotFound")

    def commit(self, repository, lines):
        files = {}
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.objects[value["oid"]]
        commit = self.hub.commit(repository, files)
        self.answer({"commitUrl": f"{self.server.address}/{repository}/commit/{commit}", "commitOid": commit})

    def do_PUT(self):
        content = self.body()
        oid = self.path.rpartition("/")[2]
        assert hashlib.sha256(content).hexdigest() == oid
        self.hub.objects[oid] = content
        self.hub.requests.append((self.command, self.path))
        self.answer(b"")


def mode(path):
    return "lfs" if path.endswith((".safetensors", ".png")) else "regular"


@contextmanager
def serving(monkeypatch, cache):
    """A Hub that huggingface_hub talks to, with a cache of its own."""
    from huggingface_hub import constants

    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.hub, server.address = hub, f"http://127.0.0.1:{server.server_address[1]}"
    hub.address = server.address
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    # The package reads the environment when it is imported.
    monkeypatch.setattr(constants, "ENDPOINT", hub.address)
    template = hub.address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(cache / "no-token"))
    monkeypatch.setenv("HF_TOKEN", hub.token)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
