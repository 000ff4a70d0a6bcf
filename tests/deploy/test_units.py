"""Unit files: what they start, how they end, and that no key stands in them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest
import yaml

from deploy.cli import app
from tests.calling import Caller

KEY = "a-key-that-is-long-enough-for-tests"


@pytest.fixture
def deploy(capsys, monkeypatch):
    monkeypatch.setenv("SERVE_KEY", KEY)
    return Caller(capsys, app, "deploy")


def serve_unit(deploy, *arguments):
    answer = deploy("serve", *arguments)
    assert (answer.code, answer.err) == (0, "")
    assert KEY not in answer.out
    return answer.out


def settings(text):
    lines = [line for line in text.splitlines() if "=" in line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def test_systemd_ends_the_group_after_our_own_deadline(deploy):
    found = settings(serve_unit(deploy, "smollm2", "--print-systemd", "--stop-timeout", "45"))
    assert found["KillMode"] == "mixed"
    assert found["TimeoutStopSec"] == "55"
    assert found["Type"] == "notify"
    assert "serve smollm2 --engine auto --port 8000" in found["ExecStart"]
    assert found["ExecStart"].endswith("--stop-timeout 45 --host 127.0.0.1")


def test_systemd_takes_the_key_from_files(deploy, tmp_path):
    variable = serve_unit(
        deploy, "smollm2", "--print-systemd", "--host", "0.0.0.0", "--api-key-env", "SERVE_KEY"
    )
    assert settings(variable)["EnvironmentFile"] == "/etc/curatrain/serve.env"
    assert "--api-key-env SERVE_KEY" in variable
    file = tmp_path / "key"
    file.write_text(KEY)
    held = serve_unit(deploy, "smollm2", "--print-systemd", "--api-key-file", file)
    assert settings(held)["LoadCredential"] == f"api_key:{file}"
    assert "--api-key-file %d/api_key" in held


def test_odd_names_reach_the_program_as_they_are(deploy, tmp_path):
    folder = tmp_path / '50% $HOME "odd" 名'
    folder.mkdir()
    start = settings(serve_unit(deploy, folder, "--print-systemd"))["ExecStart"]
    assert f'"{tmp_path}/50%% $$HOME \\"odd\\" 名"' in start
    (adapter := tmp_path / "a$b").mkdir()
    text = serve_unit(
        deploy, folder, "--adapter", f"x={adapter}", "--print-compose", "--api-key-env", "SERVE_KEY"
    )
    assert (
        f"{adapter}:{adapter}:ro".replace("$", "$$")
        in yaml.safe_load(text)["services"]["serve"]["volumes"]
    )


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not here")
def test_systemd_itself_has_nothing_to_say(deploy, tmp_path):
    unit = tmp_path / "curatrain-serve.service"
    unit.write_text(
        serve_unit(
            deploy, "smollm2", "--print-systemd", "--host", "0.0.0.0", "--api-key-env", "SERVE_KEY"
        )
    )
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=60
    )
    told = [line for line in done.stderr.splitlines() if unit.name in line]
    assert (done.returncode, told) == (0, [])


def test_compose_publishes_where_it_was_asked_to_and_ends_in_time(deploy):
    arguments = ["smollm2", "--port", "8123", "--api-key-env", "SERVE_KEY", "--print-compose"]
    service = yaml.safe_load(serve_unit(deploy, *arguments))["services"]["serve"]
    assert service["ports"] == ["127.0.0.1:8123:8123"]
    assert service["stop_grace_period"] == "40s"
    assert service["init"] is True
    assert service["env_file"] == ["./serve.env"]
    command = service["command"]
    assert command[command.index("--host") + 1] == "0.0.0.0"  # of the container alone
    assert command[-2:] == ["--api-key-env", "SERVE_KEY"]
    assert "train setup" in service["build"]["dockerfile_inline"]


def test_compose_with_vllm_builds_its_environment_where_the_gpu_is_seen(deploy, tmp_path):
    file = tmp_path / "key"
    arguments = ["smollm2", "--engine", "vllm", "--api-key-file", file, "--print-compose"]
    found = yaml.safe_load(serve_unit(deploy, *arguments))
    service = found["services"]["serve"]
    assert service["command"][:3] == ["sh", "-c", 'deploy setup vllm && exec "$$@"']
    assert found["secrets"]["api_key"]["file"] == str(file)
    assert service["secrets"] == ["api_key"]
    assert "cache" in found["volumes"]


def test_compose_mounts_what_an_adapter_needs(deploy, tmp_path):
    (base := tmp_path / "base").mkdir()
    (run := tmp_path / "run").mkdir()
    config = {"base_model_name_or_path": str(base)}
    (run / "adapter_config.json").write_text(json.dumps(config))
    text = serve_unit(deploy, run, "--api-key-env", "SERVE_KEY", "--print-compose")
    volumes = yaml.safe_load(text)["services"]["serve"]["volumes"]
    assert volumes == ["cache:/cache", f"{run}:{run}:ro", f"{base}:{base}:ro"]


def test_a_run_of_that_name_is_mounted_and_named_by_its_place(deploy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (run := tmp_path / "saves" / "medical").mkdir(parents=True)
    text = serve_unit(deploy, "medical", "--api-key-env", "SERVE_KEY", "--print-compose")
    service = yaml.safe_load(text)["services"]["serve"]
    assert service["volumes"][1:] == [f"{run}:{run}:ro"]
    assert f"serve {run} " in serve_unit(deploy, "medical", "--print-systemd")


def test_compose_mounts_what_links_of_a_hub_s_cache_lead_to(deploy, tmp_path):
    (blobs := tmp_path / "blobs").mkdir()
    (snapshot := tmp_path / "snapshots" / "main").mkdir(parents=True)
    (blobs / "0123").write_text("{}")
    (snapshot / "config.json").symlink_to("../../blobs/0123")
    text = serve_unit(deploy, snapshot, "--api-key-env", "SERVE_KEY", "--print-compose")
    service = yaml.safe_load(text)["services"]["serve"]
    assert service["volumes"][1:] == [f"{snapshot}:{snapshot}:ro", f"{blobs}:{blobs}:ro"]
    assert service["command"][2] == str(snapshot)


def test_what_the_container_s_user_could_not_read_is_refused(deploy, tmp_path, monkeypatch):
    weights = tmp_path / "model.safetensors"
    weights.touch(mode=0o640)
    words = (tmp_path, "--api-key-env", "SERVE_KEY", "--print-compose")
    # Of the owner's groups a container has one.
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    monkeypatch.setattr(os, "getgid", lambda: 54321)
    tmp_path.chmod(0o750)
    deploy.refused("is not readable for 54321:54321.*chmod a.rx", "serve", *words)
    tmp_path.chmod(0o755)
    deploy.refused("model.safetensors is not readable.*chmod a.r it", "serve", *words)
    weights.chmod(0o644)
    assert deploy("serve", *words).code == 0


def test_the_container_reads_what_its_user_can_read_and_tells_its_health(deploy, tmp_path):
    weights = tmp_path / "model.safetensors"
    weights.touch(mode=0o600)
    words = (tmp_path, "--api-key-env", "SERVE_KEY", "--print-compose", "--port", "8123")
    service = yaml.safe_load(serve_unit(deploy, *words))["services"]["serve"]
    assert service["user"] == f"{os.getuid()}:{os.getgid()}"
    assert "USER serve" not in service["build"]["dockerfile_inline"]
    assert "mkdir --mode 1777 /cache" in service["build"]["dockerfile_inline"]
    assert "http://127.0.0.1:8123/health" in service["healthcheck"]["test"][-1]
    compile(service["healthcheck"]["test"][-1], "", "exec")


def test_a_unit_sees_the_tmp_that_it_lies_in(deploy, tmp_path, monkeypatch):
    monkeypatch.setenv("CURATRAIN_CACHE", "/var/cache/curatrain")
    monkeypatch.chdir("/")
    assert "PrivateTmp=yes" in serve_unit(deploy, "smollm2", "--print-systemd")
    monkeypatch.chdir(tmp_path)
    inside = str(tmp_path).startswith("/tmp")
    assert ("PrivateTmp=yes" in serve_unit(deploy, "smollm2", "--print-systemd")) != inside


@pytest.mark.parametrize("unit", ["--print-compose", "--print-systemd"])
@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--host", "0.0.0.0"], "no key"),
        (["--port", "0"], "fixed port"),
        (["--engine", "tgi"], "allowed are auto, vllm, hf"),
        (["--adapter", "nothing"], "NAME=PATH"),
        (["--stop-timeout", "0"], "above 0"),
        (["--stop-timeout", "inf"], "above 0"),
    ],
)
def test_what_serve_would_refuse_is_refused_here(deploy, unit, arguments, why):
    assert why in deploy.refused("", "serve", "smollm2", unit, *arguments)


def test_compose_without_a_key_is_refused(deploy):
    deploy.refused("needs a key", "serve", "smollm2", "--print-compose")
    deploy.refused("give one of them", "serve", "smollm2", "--print-compose", "--print-systemd")
