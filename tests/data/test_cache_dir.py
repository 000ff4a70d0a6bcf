from pathlib import Path

from curate.system.cache import cache_dir


def test_the_cache_folder_can_be_named(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("CURATRAIN_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_dir() == tmp_path / ".cache" / "curatrain"
    monkeypatch.setenv("XDG_CACHE_HOME", "~/mine")
    assert cache_dir() == tmp_path / "mine" / "curatrain"
    monkeypatch.setenv("CURATRAIN_CACHE", "~/kept")
    assert cache_dir() == tmp_path / "kept"
    monkeypatch.setenv("CURATRAIN_CACHE", "")
    assert cache_dir() == tmp_path / "mine" / "curatrain"
    assert not Path(tmp_path / "mine").exists()
