import gzip
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from planted import planted, save

from anima.errors import DownloadError, FeatureError
from anima.features.labels import FeatureLabel, Labels
from anima.features.neuronpedia import described, fetch_labels, name_of

NAME = "llama3.1-8b/15-llamascope-res-32k"


def batch(*rows):
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    return gzip.compress(lines.encode())


@contextmanager
def bucket(files, status=404):
    """A server that has these files below /v1 and answers `status` for all others."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            content = files.get(self.path)
            self.send_response(status if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *arguments):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def place(number):
    return f"/v1/{NAME}/explanations/batch-{number}.jsonl.gz"


@pytest.mark.parametrize("status", [403, 404])
def test_all_batches_are_read_and_the_first_description_counts(status):
    files = {
        place(0): batch(
            {"index": "3", "description": " the  sea "}, {"index": "3", "description": "other"},
            {"index": "4", "description": None},
        ),
        place(1): batch({"index": 5, "description": "ships"}, {"index": 3, "description": "no"}),
    }  # fmt: skip
    with bucket(files, status) as address:
        said = []
        assert fetch_labels(NAME, bucket=address, say=said.append) == {3: "the sea", 5: "ships"}
    assert len(said) == 2


def test_an_sae_that_is_not_there_is_said():
    with bucket({}) as address, pytest.raises(DownloadError, match="has no labels of llama3"):
        fetch_labels(NAME, bucket=address)


def test_a_server_that_fails_is_said_with_its_answer():
    with bucket({}, 503) as address, pytest.raises(DownloadError, match="503"):
        fetch_labels(NAME, bucket=address)


@pytest.mark.parametrize("content", [b"no gzip", batch({"description": "x"}), batch([1])])
def test_a_damaged_batch_is_said_with_its_address(content):
    with (
        bucket({place(0): content}) as address,
        pytest.raises(DownloadError, match=r"batch-0\.jsonl\.gz is not what it should be"),
    ):
        fetch_labels(NAME, bucket=address)


def test_without_a_network_the_message_says_what_else_can_be_done():
    with pytest.raises(DownloadError, match="anima features label"):
        fetch_labels(NAME, bucket="http://127.0.0.1:9/v1", timeout=2)


def test_the_name_comes_from_the_folder(tmp_path):
    folder = save(tmp_path / "sae", planted())
    with pytest.raises(FeatureError, match="names no page of Neuronpedia"):
        name_of(folder)
    config = json.loads((folder / "cfg.json").read_text(encoding="utf-8"))
    config["metadata"]["neuronpedia_id"] = NAME
    (folder / "cfg.json").write_text(json.dumps(config), encoding="utf-8")
    assert name_of(folder) == NAME


@pytest.mark.parametrize("name", ["../../x", "a/b/c", "a b/c", 3])
def test_a_name_that_is_none_is_not_asked_for(tmp_path, name):
    folder = save(tmp_path / "sae", planted())
    (folder / "cfg.json").write_text(json.dumps({"neuronpedia_id": name}), encoding="utf-8")
    with pytest.raises(FeatureError):
        name_of(folder)


def test_descriptions_take_the_place_of_labels_but_not_of_a_person_s():
    labels = Labels(
        [
            FeatureLabel(feature=1, label="own", density=0.1, maximum=1.0, contexts=("«x»",)),
            FeatureLabel(feature=2, label="mine", density=0.1, maximum=1.0, edited=True),
        ]
    )
    made = described(labels, {1: "the sea", 2: "ships", 3: "new"})
    assert [one.label for one in made] == ["the sea", "mine", "new"]
    assert made.get(1).contexts == ("«x»",)
