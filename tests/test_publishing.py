"""What `push` uploads, to a hub that runs here, and what it refuses to."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from smallvoice import publishing, uploads
from smallvoice.errors import InputError, RecipeError, SmallvoiceError
from smallvoice.reporting.card import write_card
from tests.reporting.example_run import fill

REPO = "me/tuned"
CARD = "# mine\n\nTrained on 2 speakers.\n"


def safetensors(metadata: dict[str, str]) -> bytes:
    """A file without a tensor."""
    header = json.dumps({"__metadata__": metadata}).encode()
    return len(header).to_bytes(8, "little") + header


ADAPTER = {
    "adapter_model.safetensors": safetensors({"format": "pt"}),
    "adapter_config.json": b'{"peft_type": "LORA", "r": 4}',
    "smallvoice.json": b'{"schema_version": 1, "base": "openai/whisper-base"}',
}


class Hub:
    """Repositories, and what arrived in them."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.private: dict[str, bool] = {}
        self.files: dict[str, bytes] = {}
        self.stored: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.agents: set[str] = set()
        self.refuses: int | None = None
        self.deaf = False
        """It makes every repository public."""

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, str], Any]:
        """Status, headers and JSON: the few questions that an upload asks."""
        self.asked.append(f"{method} {path}")
        if self.refuses and method == "POST":
            return self.refuses, {}, {"error": "no"}
        if method == "GET" and path == f"/api/models/{REPO}":
            if REPO not in self.private:
                return 404, {"X-Error-Code": "RepoNotFound"}, {"error": "Repository not found"}
            files = [{"rfilename": name} for name in self.files]
            return 200, {}, {"id": REPO, "private": self.private[REPO], "siblings": files}
        if path == "/api/repos/create":
            wish = json.loads(body)
            assert (wish["organization"], wish["name"]) == tuple(REPO.split("/"))
            private = wish.get("visibility") == "private" or wish.get("private") is True
            self.private[REPO] = private and not self.deaf
            return 200, {}, {"url": f"{self.endpoint}/{REPO}"}
        if path == "/api/validate-yaml":
            return 200, {}, {"errors": [], "warnings": []}
        if path == f"/api/models/{REPO}/preupload/main":
            names = [file["path"] for file in json.loads(body)["files"]]
            large = (".safetensors", ".bin", ".onnx", ".onnx_data")
            modes = ["lfs" if name.endswith(large) else "regular" for name in names]
            files = [{"path": a, "uploadMode": b, "shouldIgnore": False} for a, b in zip(names, modes, strict=True)]
            return 200, {}, {"files": files}
        if path == f"/{REPO}.git/info/lfs/objects/batch":
            objects = json.loads(body)["objects"]
            for one in objects:
                one["actions"] = {"upload": {"href": f"{self.endpoint}/store/{one['oid']}"}}
            return 200, {}, {"objects": objects}
        if method == "PUT" and path.startswith("/store/"):
            self.stored[path.removeprefix("/store/")] = body
            return 200, {}, {}
        if path == f"/api/models/{REPO}/commit/main":
            self._commit([json.loads(line) for line in body.splitlines()])
            return 200, {}, {"commitUrl": f"{self.endpoint}/{REPO}/commit/0f", "commitOid": "0f"}
        raise AssertionError(f"not known to this hub: {method} {path}")

    def _commit(self, lines: list[Any]) -> None:
        assert lines[0]["key"] == "header"
        for line in lines[1:]:
            value = line["value"]
            content = self.stored[value["oid"]] if line["key"] == "lfsFile" else base64.b64decode(value["content"])
            self.files[value["path"]] = content


@pytest.fixture
def hub() -> Iterator[Hub]:
    class Handler(BaseHTTPRequestHandler):
        def do(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            found.agents.add(self.headers["User-Agent"])
            status, headers, content = found.answer(self.command, self.path, body)
            sent = json.dumps(content).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(sent))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(sent)

        do_GET = do_POST = do_PUT = do

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = Hub(f"http://127.0.0.1:{server.server_port}")
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield found
        server.shutdown()
        thread.join()


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with everything that must stay here."""
    folder = write(tmp_path / "run", {f"adapter/{name}": content for name, content in ADAPTER.items()})
    people = "pseudonym,kind,source,name,age_years,gender,split\nS0001,speaker,mine,Zoé Li,6,f,train\n"
    people += "S0002,speaker,mine,1500,7,m,test\nS0003,speaker,mine,Al,7,m,test\nV0001,session,mine,visit,,,train\n"
    kept = {
        "README.md": CARD,
        "corpus/speakers.csv": people,
        "corpus/audio.flac": "Zoé Li",
        "corpus/train-00000.parquet": "",
        "hypotheses/tuned.test.jsonl": "",
        "trained_on.jsonl": "",
        "metrics.jsonl": "",
        "provenance.json": "{}",
        "recipe.yaml": "",
        "adapter/README.md": "made by something else",
        "adapter/hypotheses.jsonl": "",
        "adapter/speakers.csv": people,
        "adapter/clip.wav": "",
        "adapter/clips.parquet": "",
        "adapter/notes.json": "{}",
        "adapter/sub/config.json": "{}",
        "adapter/onnx/notes.txt": "",
    }
    write(folder, {name: content.encode() for name, content in kept.items()})
    (folder / "adapter" / "config.json").symlink_to(folder / "provenance.json")
    (folder / "adapter" / "other.safetensors").symlink_to(folder / "corpus" / "speakers.csv")
    return folder


def environment(hub: Hub, home: Path, **more: str) -> dict[str, str]:
    left_out = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    own = {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": "x", "HF_HOME": str(home / "hub"), "NO_PROXY": "*"}
    return {**kept, **own, "HF_HUB_DISABLE_XET": "1", **more}  # Xet is a protocol of its own; without it, LFS


def push(hub: Hub, folder: Path, *flags: str, code: int = 0, **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "smallvoice", "push", str(folder), REPO, *flags]
    done = subprocess.run(
        command,
        env=environment(hub, folder.parent, **more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_a_run_goes_into_a_private_repository_without_what_stays_here(hub: Hub, run: Path) -> None:
    done = push(hub, run, "--yes", "--json")
    assert hub.private == {REPO: True}
    assert hub.files == {**ADAPTER, "README.md": CARD.encode()}
    found = json.loads(done.stdout)
    assert found["uploaded"] and found["private"] and found["url"] == f"{hub.endpoint}/{REPO}"
    assert found["files"] == {name: len(content) for name, content in hub.files.items()}
    stays = {"corpus/", "hypotheses/", "trained_on.jsonl", "metrics.jsonl", "provenance.json", "recipe.yaml"}
    inside = {"README.md", "hypotheses.jsonl", "speakers.csv", "clip.wav", "clips.parquet", "notes.json", "sub/"}
    inside |= {"onnx/notes.txt", "config.json", "other.safetensors"}
    assert set(found["not_uploaded"]) == stays | {f"adapter/{name}" for name in inside}
    assert f"{REPO}, private" in done.stderr and "adapter_model.safetensors  42 bytes" in done.stderr
    assert "Not uploaded: adapter/README.md, " in done.stderr
    assert all("torch/" not in agent and "agent/" not in agent for agent in hub.agents)


@pytest.mark.parametrize(
    "names",
    [
        ["config.json", "model.safetensors", "tokenizer.json", "preprocessor_config.json", "generation_config.json"],
        ["model.bin", "config.json", "vocabulary.json", "tokenizer.json"],
        ["ggml-model.bin"],
        ["config.json", "onnx/encoder_model.onnx", "onnx/encoder_model.onnx_data", "onnx/decoder_model.onnx"],
    ],
)
def test_exports_are_known(tmp_path: Path, names: list[str]) -> None:
    folder = write(tmp_path / "export", dict.fromkeys([*names, "README.md", "parity.json", "onnx/parity.json"], b"{}"))
    items, left = uploads.gather(folder)
    assert [item.path for item in items] == sorted([*names, "README.md"])
    assert left == ["onnx/parity.json", "parity.json"]


def test_an_export_is_public_only_if_asked(hub: Hub, tmp_path: Path) -> None:
    files = {"ggml-model.bin": b"ggml", "README.md": CARD.encode()}
    done = push(hub, write(tmp_path / "export", files), "--yes", "--public")
    assert hub.private == {REPO: False} and hub.files == files
    assert done.stdout == f"{hub.endpoint}/{REPO}\n"
    assert "public: everybody can download it" in done.stderr
    assert "names of speakers could not be looked for" in done.stderr


def test_a_public_repository_is_refused(hub: Hub, run: Path) -> None:
    hub.private[REPO] = False
    assert "me/tuned is not private" in push(hub, run, "--yes", code=1).stderr
    assert hub.asked == [f"GET /api/models/{REPO}"] and not hub.files


def test_a_repository_that_was_made_public_all_the_same_gets_nothing(hub: Hub, run: Path) -> None:
    hub.deaf = True
    assert "me/tuned is not private" in push(hub, run, "--yes", code=1).stderr
    assert hub.private == {REPO: False} and not hub.files and not hub.stored


def test_a_private_repository_stays_private(hub: Hub, run: Path) -> None:
    hub.private[REPO] = True
    done = push(hub, run, "--yes", "--public", "--json")
    assert "it stays so" in done.stderr and json.loads(done.stdout)["private"]
    assert hub.private == {REPO: True} and len(hub.files) == 4


def test_weights_of_another_form_stand_in_the_way(hub: Hub, run: Path, tmp_path: Path) -> None:
    push(hub, run, "--yes")
    push(hub, run, "--yes")
    whole = write(tmp_path / "whole", {"model.safetensors": safetensors({}), "config.json": b"{}", "README.md": b"# x"})
    before = dict(hub.files)
    said = push(hub, whole, "--yes", code=1).stderr
    assert "me/tuned holds other weights, which this would stand beside: adapter_config.json, adapter_model.saf" in said
    assert hub.files == before


def test_an_export_of_what_was_trained_again_is_refused(run: Path) -> None:
    trained = hashlib.sha256((run / "adapter" / "adapter_model.safetensors").read_bytes()).hexdigest()
    facts = json.dumps({"schema_version": 1, "base": "openai/whisper-base", "adapter_sha256": trained}).encode()
    folder = write(run / "exports" / "ggml-f16", {"ggml-model.bin": b"ggml", "smallvoice.json": facts})
    assert {item.path for item in uploads.gather(folder)[0]} == {"ggml-model.bin", "smallvoice.json", "README.md"}
    (run / "adapter" / "adapter_model.safetensors").write_bytes(safetensors({"by": "another training"}))
    assert "made of an adapter that its run does not have any more" in refusal(folder)


def test_an_adapter_whose_base_nobody_has_is_refused(run: Path) -> None:
    write(run, {"adapter/adapter_config.json": b'{"base_model_name_or_path": "local-model"}'})
    assert "the adapter's base is a local folder, which nobody else has" in refusal(run)


def test_nothing_goes_without_a_yes(hub: Hub, run: Path) -> None:
    done = push(hub, run, code=1)
    assert "there is no terminal to ask on" in done.stderr and "adapter_config.json" in done.stderr
    assert hub.asked == []


@pytest.mark.parametrize(("reply", "arrived"), [("n", 0), ("", 0), ("y", 4)])
def test_a_terminal_is_asked(hub: Hub, run: Path, reply: str, arrived: int) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "smallvoice", "push", str(run), REPO]
    os.write(ours, f"{reply}\n".encode())
    process = subprocess.Popen(
        command, env=environment(hub, run.parent), stdin=theirs, stdout=subprocess.PIPE, stderr=theirs
    )
    os.close(theirs)
    shown = b""
    try:
        while block := os.read(ours, 4096):
            shown += block
    except OSError:  # how Linux says that the other side is closed
        pass
    os.close(ours)
    answered, _ = process.communicate(timeout=120)
    assert process.returncode == 0 and b"Upload? [y/N]" in shown
    assert len(hub.files) == arrived and (REPO in hub.private) == bool(arrived)
    assert answered.decode().strip() == (f"{hub.endpoint}/{REPO}" if arrived else "Nothing was uploaded.")


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"HF_HUB_OFFLINE": "1"}, "the hub is switched off (HF_HUB_OFFLINE)"),
        ({"HF_TOKEN": ""}, "no token for the hub"),
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "the hub, or the way to it, refused: ConnectError"),
    ],
)
def test_no_way_to_the_hub_is_one_line(hub: Hub, run: Path, more: dict[str, str], reason: str) -> None:
    lines = push(hub, run, "--yes", code=1, **more).stderr.splitlines()
    assert lines[-1].startswith(f"{REPO}: {reason}") and lines[-2].startswith("Not uploaded: ")
    assert hub.asked == []


@pytest.mark.parametrize(("status", "reason"), [(403, "may not write there (HTTP 403)"), (500, "HfHubHTTPError: ")])
def test_a_refusal_of_the_hub_is_one_line(hub: Hub, run: Path, status: int, reason: str) -> None:
    hub.refuses = status
    assert reason in push(hub, run, "--yes", code=1).stderr.splitlines()[-1]
    assert not hub.files


def refusal(folder: Path, repo: str = REPO) -> str:
    """Why a folder is refused before anything else is done, whoever asks."""
    with pytest.raises(SmallvoiceError) as caught:
        publishing.push(folder, repo, yes=True)
    assert isinstance(caught.value, InputError | RecipeError)
    return str(caught.value)


@pytest.mark.parametrize("place", [".", "adapter", "exports/ggml-f16"])
def test_a_speakers_name_is_refused_wherever_the_corpus_is_beside(
    run: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(run, {"exports/ggml-f16/ggml-model.bin": b"ggml"})
    folder = run / place
    write(folder, {"README.md": f"{CARD}ZOÉ\nLi told us.\n".encode()})
    monkeypatch.chdir(run)
    for named in (folder, Path(place)):
        said = refusal(named)
        assert said == f"{named / 'README.md'}, line 4: a speaker of the corpus is named here. Nothing was uploaded."


@pytest.mark.parametrize("place", ["adapter", "exports/ggml-f16"])
def test_what_is_of_a_run_has_its_card(run: Path, place: str) -> None:
    write(run, {"exports/ggml-f16/ggml-model.bin": b"ggml"})
    (run / "adapter" / "README.md").unlink()
    items, _ = uploads.gather(run / place)
    assert {item.path: item.content for item in items}["README.md"] == CARD.encode()
    (run / "recipe.yaml").unlink()  # no run any more
    assert "no model card (README.md)" in refusal(run / place)


def test_metadata_of_weights_are_looked_through(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ines")
    weights = run / "adapter" / "adapter_model.safetensors"
    weights.write_bytes(safetensors({"by": "Zoé Li"}))
    assert refusal(run) == f"{weights}: a speaker of the corpus is named here. Nothing was uploaded."
    weights.write_bytes(safetensors({"/home/ines/base": "1"}))
    assert "adapter_model.safetensors: a path in your home folder" in refusal(run)
    deep = b"[" * 100_000
    for broken in (b"", b"\xff" * 8, b"\x01" + 7 * b"\x00" + b"5", len(deep).to_bytes(8, "little") + deep):
        weights.write_bytes(broken)
        assert "adapter_model.safetensors: its header cannot be read" in refusal(run)


def test_a_name_is_found_in_json_however_it_is_escaped(run: Path) -> None:
    write(run, {"adapter/smallvoice.json": rb'{"base": "models\n\u005ao\u0065\u0301 Li", "base": 1}'})
    said = refusal(run)
    assert "smallvoice.json: a speaker of the corpus is named here" in said and "Zo" not in said


def test_a_name_of_a_file_or_of_the_repository_counts(run: Path) -> None:
    (run / "corpus" / "speakers.csv").write_text("kind,name\nspeaker,anna\n")
    for name in ("whisper-Anna", "anna_tuned", "Anna2"):
        assert "The name of the repository: a speaker" in refusal(run, f"me/{name}")
    for name in ("kid_07", "anna2"):
        (run / "corpus" / "speakers.csv").write_text(f"kind,name\nspeaker,{name}\n")
        assert "The name of the repository: a speaker" in refusal(run, f"me/{name}")
    (run / "corpus" / "speakers.csv").write_text("kind,name\nspeaker,anna\n")
    write(run, {"adapter/anna.safetensors": ADAPTER["adapter_model.safetensors"]})
    assert "The names of the files: a speaker" in refusal(run)


def test_what_cannot_be_told_from_other_words_is_no_name(run: Path) -> None:
    """Short names, small numbers, parts of words, what every card says; and a vocabulary holds most first names."""
    people = ["Al", "1500", "Lora", "Dev", "whisp", "Child", "Anna"]
    (run / "corpus" / "speakers.csv").write_text("kind,name\n" + "".join(f"speaker,{name}\n" for name in people))
    write(run, {"README.md": b"Al 1500 whisper", "adapter/tokenizer.json": b'{"anna": 1}'})
    items, _ = uploads.gather(run)
    names = publishing._names_of_speakers(run)
    assert names == set(people)
    publishing._look_through(items, REPO, names)
    write(run, {"README.md": b"Al 1500 (Anna)"})
    assert "README.md, line 1" in refusal(run)


def test_the_card_of_a_run_names_nobody(tmp_path: Path) -> None:
    """The real thing, with the pseudonyms' table of its corpus beside it."""
    run = write(fill(tmp_path / "run"), {f"adapter/{name}": content for name, content in ADAPTER.items()})
    (run / "corpus" / "speakers.csv").write_text("kind,name\nspeaker,anna\nspeaker,0001\nspeaker,child\n")
    write_card(run)
    items, left = uploads.gather(run)
    assert {item.path for item in items} == {*ADAPTER, "README.md"} and "hypotheses/" in left
    publishing._look_through(items, REPO, publishing._names_of_speakers(run) or set())


@pytest.mark.parametrize("written", ["/home/ines/models/base", "file:///home/ines", r"\/home\/ines\/x"])
def test_a_path_of_the_home_folder_is_refused(run: Path, monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    monkeypatch.setenv("HOME", "/home/ines")
    write(run, {"adapter/adapter_config.json": f'{{"base_model_name_or_path": "{written}"}}'.encode()})
    assert "adapter_config.json: a path in your home folder" in refusal(run)


def test_another_path_is_not_of_the_home_folder(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/root")
    write(run, {"README.md": b"/rooted /srv/root/x https://example.org/root"})
    publishing._look_through(uploads.gather(run)[0], REPO, set())


def test_folders_and_names_that_are_none(run: Path, tmp_path: Path) -> None:
    nothing = "neither a run with an adapter, nor an adapter, nor an export"
    assert "no such folder" in refusal(tmp_path / "nowhere")
    assert nothing in refusal(run / "corpus")
    assert nothing in refusal(write(tmp_path / "config", {"config.json": b"{}"}))
    assert nothing in refusal(write(tmp_path / "weights", {"model.safetensors": b""}))
    linked = write(tmp_path / "linked", {"README.md": b""})
    (linked / "adapter").symlink_to(run / "adapter")
    assert nothing in refusal(linked)
    for repo in ("tuned", "me/tuned/more", "me/", "me/tu ned", "https://example.org/me/tuned"):
        assert "OWNER/NAME" in refusal(run, repo)


def test_texts_that_cannot_be_looked_through_are_refused(run: Path) -> None:
    write(run, {"README.md": b"\xff\xfeZ\x00"})
    assert "README.md: cannot be read" in refusal(run)
    write(run, {"README.md": b"", "adapter/smallvoice.json": b"{"})
    assert "smallvoice.json: cannot be read" in refusal(run)
    write(run, {"adapter/smallvoice.json": b"[" * 100_000})
    assert "smallvoice.json: cannot be read" in refusal(run)
    write(run, {"adapter/smallvoice.json": b"{}", "corpus/speakers.csv": b"who\nAnna\n"})
    assert "names of speakers cannot be looked for" in refusal(run)
