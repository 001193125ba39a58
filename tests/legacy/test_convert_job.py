"""Jobs of the original, written here in its layout, and what they become."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from fedscale import limits
from fedscale.cli.main import app
from fedscale.data.catalogue import DATASETS as CATALOGUE
from fedscale.errors import JobError
from fedscale.job import Job
from fedscale.legacy import vocabulary
from fedscale.legacy.oldjob import OldJob, read_old_job
from fedscale.legacy.translate import translate
from fedscale.legacy.vocabulary import ALIASES, REASONS, TAKEN

DATASETS = ("digits", "femnist", "google_speech", "openimage", "openimage_detection", "qmnist", "reddit")
MODELS = ("logistic_regression", "mobilenet_v2", "resnet18", "shufflenet_v2")

SPEECH = """
ps_ip: 10.0.0.2
worker_ips:
    - 10.0.0.3:[5]
exp_path: $FEDSCALE_HOME/core
executor_entry: executor.py
aggregator_entry: aggregator.py
auth:
    ssh_user: "me"
    ssh_private_key: ~/.ssh/id_rsa
setup_commands:
    - source $HOME/anaconda3/bin/activate fedscale
job_conf:
    - job_name: google_speech
    - log_path: $FEDSCALE_HOME/evals     # where logs go
    - task: speech
    - total_worker: 100
    - data_set: google_speech
    - data_dir: $FEDSCALE_HOME/data/google_speech
    - data_map_file: $FEDSCALE_HOME/data/google_speech/client_data_mapping/train.csv
    - device_conf_file: $FEDSCALE_HOME/data/device_info/client_device_capacity
    - device_avail_file: $FEDSCALE_HOME/data/device_info/client_behave_trace
    - model: resnet34
    - gradient_policy: yogi
    - eval_interval: 30
    - epochs: 5000
    - filter_less: 21
    - num_loaders: 4
    - yogi_eta: 3e-3
    - yogi_tau: 1e-8
    - local_steps: 30
    - learning_rate: 0.05
    - batch_size: 20
    - test_bsz: 20
    - num_particpants: 7
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "old.yml"
    path.write_text(text, encoding="utf-8")
    return path


def conf(folder: Path, *, around: str = "", **keys: Any) -> Path:
    """Write a job with these keys of job_conf, and a map file, without which clients are not real."""
    lines = [f"    - {key}: {value}" for key, value in {"data_map_file": "train.csv", **keys}.items()]
    return write(folder, "\n".join([around, "job_conf:", *lines]))


def convert(path: Path, home: Path | None = None) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the values of the new job, which is valid, and the notes by key, outcome first."""
    old = read_old_job(path, home)
    values = translate(old, DATASETS, MODELS)
    Job.parse(yaml.safe_load(yaml.safe_dump(values)))
    return values, {note.key: f"{note.outcome}: {note.text}" for note in old.notes}


def test_a_whole_job(tmp_path: Path) -> None:
    values, notes = convert(write(tmp_path, SPEECH), tmp_path)
    device_info = tmp_path / "data" / "device_info"
    assert values == {
        "name": "google_speech",
        "data": {"name": "google_speech", "min_samples": 21},
        "model": {"name": "resnet18"},
        "rounds": {"participants": 100, "over_commitment": 1.3, "count": 5000, "weighting": "uniform"},
        "local": {
            "steps": 30,
            "batch_size": 20,
            "lr": 0.05,
            "min_lr": 5e-5,
            "lr_decay": 0.98,
            "lr_decay_rounds": 10,
            "momentum": 0.9,
            "weight_decay": 5e-4,
        },
        "evaluate": {"every": 30},
        "server": {"name": "fedyogi", "lr": 3e-3, "beta1": 0.9, "beta2": 0.99, "tau": 1e-8},
        "devices": {
            "source": "fedscale",
            "file": str(device_info / "client_device_capacity"),
            "assign": "in_order",
        },
        "availability": {
            "source": "fedscale",
            "file": str(device_info / "client_behave_trace"),
            "assign": "in_order",
        },
    }
    given = re.findall(r"^(?:    - )?(\w+):", SPEECH, re.MULTILINE)
    assert set(given) - {"job_conf"} <= notes.keys()  # not one without a word
    outcomes = {outcome: sorted(k for k in notes if notes[k].startswith(outcome)) for outcome in ("unknown", "changed")}
    assert outcomes == {"unknown": ["num_particpants"], "changed": ["epochs", "model", "total_worker"]}
    assert notes["num_particpants"] == "unknown: 7, did you mean 'num_participants', 'num_aggregators', 'num_class'?"
    assert notes["total_worker"] == "changed: an older spelling of num_participants"
    assert notes["num_participants"] == "used: 100, now rounds.participants: 100"
    assert notes["yogi_eta"] == "used: '3e-3', now server.lr: 0.003"
    assert notes["decay_factor"] == "by default: the original's default, local.lr_decay: 0.98"
    assert notes["auth"].startswith("not honoured: where a job runs is no part of it")
    assert "ran federated averaging instead" in notes["gradient_policy"]
    assert "which is not on this machine" in notes["device_conf_file"]


def test_the_defaults_are_the_originals(tmp_path: Path) -> None:
    values, notes = convert(write(tmp_path, "job_conf:\n  - job_name: least\n"))
    job = Job.parse(values)
    assert (job.rounds.participants, job.rounds.over_commitment, job.rounds.count) == (4, 1.3, 50)
    assert (job.local.steps, job.local.batch_size, job.local.lr, job.local.min_lr) == (20, 30, 0.05, 5e-5)
    assert (job.evaluate.every, job.data.min_samples, job.model.name) == (5, 32, "shufflenet_v2")
    assert job.data.partition.model_dump() == {"name": "iid", "clients": 4}
    assert (job.devices.source, job.availability.source, job.device) == ("none", "none", "cpu")
    assert notes["data_map_file"].startswith("changed: none is given, so all samples are dealt out")


def test_job_conf_may_be_a_map_and_the_last_value_counts(tmp_path: Path) -> None:
    values, _ = convert(write(tmp_path, "job_conf: {rounds: '7', batch_size: 5.0}"))
    assert (values["rounds"]["count"], values["local"]["batch_size"]) == (7, 5)
    values, notes = convert(write(tmp_path, "job_conf:\n - rounds: 7\n - epochs: 9\n"))
    assert values["rounds"]["count"] == 9
    assert notes["epochs"] == "changed: rounds is given more than once, and 9 counts"


@pytest.mark.parametrize(
    ("policy", "section", "expected"),
    [
        ("fed-avg", "server", None),
        ("~", "server", None),
        ("fed-yogi", "server", {"name": "fedyogi", "lr": 0.003, "beta1": 0.9, "beta2": 0.99, "tau": 1e-8}),
        ("q-fedavg", "algorithm", {"name": "qfedavg", "q": 2.0}),
    ],
)
def test_gradient_policies(tmp_path: Path, policy: str, section: str, expected: object) -> None:
    values, _ = convert(conf(tmp_path, gradient_policy=policy, qfed_q=2))
    assert values.get(section) == expected


def test_fedprox(tmp_path: Path) -> None:
    for name in ("prox", "fed-prox"):
        values, _ = convert(conf(tmp_path, gradient_policy=name, proxy_mu="1e-2"))
        assert values["local"]["objective"] == {"name": "fedprox", "mu": 0.01}


def test_options_of_what_is_not_chosen_are_not_honoured(tmp_path: Path) -> None:
    _, notes = convert(conf(tmp_path, yogi_eta=0.1, proxy_mu=0.1, round_penalty=2))
    for key in ("yogi_eta", "proxy_mu", "round_penalty"):
        assert notes[key].startswith("not honoured: ")
        assert notes[key].endswith("means nothing in a job of this kind")


@pytest.mark.parametrize("name", ["oort", "kuiper"])
def test_oort(tmp_path: Path, name: str) -> None:
    given = {"round_penalty": 3, "cut_off_util": 0.7, "pacer_step": 10, "exploration_min": 0.4, "blacklist_rounds": 12}
    values, notes = convert(conf(tmp_path, sample_mode=name, blacklist_max_len=0.2, **given))
    assert values["selector"] == {
        "name": "oort",
        "exploration": 0.9,
        "exploration_decay": 0.98,
        "exploration_min": 0.4,
        "cut_off": 0.7,
        "clip": 0.9,
        "penalty": 3.0,
        "pace": 30.0,
        "pace_step": 5.0,
        "pace_window": 10,
        "max_selections": 12,
    }
    assert notes["blacklist_max_len"].startswith("not honoured: ")
    values, _ = convert(conf(tmp_path, sample_mode=name))
    assert values["selector"]["max_selections"] is None  # a blacklist of -1 rounds is none


@pytest.mark.parametrize(
    "given",
    [
        {"max_concurrency": 100, "max_staleness": 3, "async_buffer": 50},
        {"async_mode": "True", "max_concurrency": 100, "max_staleness": 3, "num_participants": 50},
        {"experiment_mode": "async", "max_concurrency": 100, "max_staleness": 3, "num_participants": 50},
    ],
)
def test_asynchronous(tmp_path: Path, given: dict[str, Any]) -> None:
    values, notes = convert(conf(tmp_path, overcommitment=1.0, **given))
    assert values["asynchronous"] == {
        "concurrency": 100,
        "max_staleness": 3,
        "staleness": {"name": "polynomial", "a": 0.5},
        "refill": 1,
        "apply": "models",
        "damping": False,
    }
    assert values["rounds"] == {"participants": 50, "count": 50, "weighting": "uniform"}
    assert notes["overcommitment"] == "not honoured: 1.0, means nothing in asynchronous rounds"


def test_the_noise_of_clients_adds_up(tmp_path: Path) -> None:
    """10 clients' noises of 0.1 C each have the sum's deviation √10 × 0.1 C = 0.316 C."""
    given = {"num_participants": 10, "noise_factor": 0.1, "clip_threshold": 2.0, "target_delta": "1e-4"}
    values, _ = convert(conf(tmp_path, **given))
    assert values["privacy"] == {"name": "gaussian", "clip": 2.0, "noise": pytest.approx(0.316228, 1e-5), "delta": 1e-4}
    assert values["privacy"]["noise"] == 0.1 * math.sqrt(10)


def test_malicious_clients(tmp_path: Path) -> None:
    values, notes = convert(conf(tmp_path, malicious_factor=5))
    assert values["attack"] == {"name": "label_flip", "fraction": 0.2}
    assert "label_flip by 0.2 of the clients" in notes["malicious_factor"]
    assert "attack" not in convert(conf(tmp_path, malicious_factor="1e15"))[0]


@pytest.mark.parametrize(
    ("path", "section", "expected"),
    [
        ("$FEDSCALE_HOME/examples/heterofl", "algorithm", {"name": "heterofl"}),
        ("$FEDSCALE_HOME/examples/auxo", "algorithm", {"name": "auxo"}),
        ("$FEDSCALE_HOME/examples/dry_run", "dry_run", True),
        ("examples/localDP/customized_executor.py", "privacy", {"name": "gaussian", "clip": 3.0, "noise": 0.2}),
    ],
)
def test_the_examples_of_the_original(tmp_path: Path, path: str, section: str, expected: object) -> None:
    values, notes = convert(conf(tmp_path, around=f"exp_path: {path}"))
    assert values[section] == expected
    assert notes["exp_path"].startswith("used: ")


def test_programs_of_ones_own_become_plugins(tmp_path: Path) -> None:
    around = "executor_entry: mine/my_executor.py\naggregator_entry: aggregation/aggregator.py"
    _, notes = convert(conf(tmp_path, around=around))
    assert "its hooks become a plugin here" in notes["executor_entry"]
    assert "the program is fedscale itself" in notes["aggregator_entry"]


@pytest.mark.parametrize(
    ("given", "name", "outcome"),
    [
        ({"data_set": "openImg"}, "openimage", "used"),
        ({"data_set": "openImg", "task": "detection"}, "openimage_detection", "used"),
        ({"data_set": "openImg", "task": "cv"}, "openimage", "used"),
        ({"data_set": "blog", "data_dir": "/data/reddit"}, "reddit", "used"),
        ({"data_set": "Mnist"}, "qmnist", "changed"),
        ({"data_set": "emnist"}, "femnist", "changed"),
        ({"data_set": "digits"}, "digits", "used"),
        ({"data_set": "cifar10"}, "cifar10", "not honoured"),
        ({"data_set": "coqa"}, "coqa", "not honoured"),
    ],
)
def test_datasets(tmp_path: Path, given: dict[str, str], name: str, outcome: str) -> None:
    values, notes = convert(conf(tmp_path, **given))
    assert values["data"]["name"] == name
    assert notes["data_set"].startswith(f"{outcome}: ")


@pytest.mark.parametrize(
    ("given", "name", "outcome"),
    [
        ("resnet18", "resnet18", "used"),
        ("mobilenet_v2", "mobilenet_v2", "used"),
        ("lr", "logistic_regression", "used"),
        ("shufflenet_v2_x2_0", "shufflenet_v2", "changed"),
        ("resnet34", "resnet18", "changed"),
        ("resnet_heterofl", "resnet18", "changed"),
        ("albert-base-v2", None, "not honoured"),
    ],
)
def test_models(tmp_path: Path, given: str, name: str | None, outcome: str) -> None:
    values, notes = convert(conf(tmp_path, model=given))
    assert values.get("model") == (name and {"name": name})
    assert notes["model"].startswith(f"{outcome}: ")


def test_other_keys(tmp_path: Path) -> None:
    keys = {
        "sample_seed": 233,
        "use_cuda": "True",
        "filter_less": 0,
        "filter_more": 500,
        "task": "nlp",
        "weight_decay": "1e-2",
    }
    values, notes = convert(conf(tmp_path, engine="tensorflow", **keys))
    assert (values["seed"], values["device"]) == (233, "cuda")
    assert values["data"] == {"name": "cifar10", "min_samples": 1, "max_samples": 500}
    assert values["local"]["weight_decay"] == 0.01
    assert "momentum" not in values["local"]
    assert notes["task"].startswith("changed: 'nlp', the original trained it with Adam")
    assert notes["engine"].startswith("not honoured: ")
    values, notes = convert(conf(tmp_path, use_cuda=False, weight_decay=0.1, job_name="'../a/b: c'"))
    assert "device" not in values
    assert (values["name"], values["local"]["weight_decay"]) == ("a-b- c", 5e-4)
    assert notes["weight_decay"].startswith("not honoured: ")


def test_variables_in_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FEDSCALE_HOME", raising=False)
    monkeypatch.setenv("TRACES", str(tmp_path))
    (tmp_path / "slots").touch()
    path = conf(tmp_path, device_conf_file="$FEDSCALE_HOME/devices", device_avail_file="${TRACES}/slots")
    values, notes = convert(path)
    assert "devices" not in values  # the built-in population
    assert notes["device_conf_file"].startswith("changed: '$FEDSCALE_HOME/devices', $FEDSCALE_HOME is not set (--home")
    assert values["availability"]["file"] == str(tmp_path / "slots")
    assert "not on this machine" not in notes["device_avail_file"]
    monkeypatch.setenv("FEDSCALE_HOME", "/there")
    assert convert(path)[0]["devices"]["file"] == "/there/devices"
    assert convert(path, tmp_path)[0]["devices"]["file"] == str(tmp_path / "devices")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("job_conf: [", "old.yml: not valid YAML"),
        ("- 1", "a job is a mapping of keys to values, not list"),
        ("data: digits", "old.yml: no job_conf in it: known: 'data'; is it a job of the original?"),
        ("job_conf: 5", r"job_conf, entry 1: must be `key: value` \(got 5\)"),
        ("job_conf: [{rounds: 1}, rounds]", r"job_conf, entry 2: must be `key: value` \(got 'rounds'\)"),
        ("job_conf: [{1: 2}]", r"has the keys \[1\]; keys are texts"),
        ("job_conf: [{rounds: many}]", r"rounds: must be a number \(got 'many'\)"),
        ("job_conf: [{rounds: 2.5}]", r"rounds: must be a whole number \(got 2\.5\)"),
        ("job_conf: [{rounds: [1]}]", r"rounds: must be a number \(got \[1\]\)"),
        ("job_conf: [{rounds: true}]", r"rounds: must be a number \(got True\)"),
        ("job_conf: [{learning_rate: .nan}]", "holds nan"),
        ("job_conf: [{learning_rate: 1e999}]", r"learning_rate: must be a number \(got '1e999'\)"),
        ("job_conf: [{epochs: -3}]", r"rounds\.count: must be greater than 0 \(got -3\)"),
        ("job_conf: [{overcommitment: 0.5}]", r"rounds\.over_commitment: must be greater than or equal to 1"),
        ("job_conf: [{use_cuda: maybe}]", r"use_cuda: must be True or False \(got 'maybe'\)"),
        (
            "job_conf: [{gradient_policy: yogii}]",
            r"gradient_policy: is not known: did you mean 'yogi'.* \(got 'yogii'\)",
        ),
        ("job_conf: [{sample_mode: ort}]", r"sample_mode: is not known: .*oort.* \(got 'ort'\)"),
        ("job_conf: [{model: {a: b}}]", r"model: must be one value \(got {'a': 'b'}\)"),
        ("job_conf: [{malicious_factor: 0}]", r"malicious_factor: must be at least 1 \(got 0\)"),
        ("job_conf: [{device_conf_file: '~nobody_here/x'}]", "device_conf_file: is no path"),
        ("a: &a [1]\nb: &b [*a, *a]\njob_conf: !!python/object/apply:os.system ['true']", "not valid YAML"),
    ],
)
def test_malformed_jobs(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(JobError, match=complaint):
        convert(write(tmp_path, text))


def test_yaml_that_makes_much_out_of_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = "\n".join(["a0: &a0 [1, 1]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 19))])
    with pytest.raises(JobError, match="made of more than 100000 values"):
        monkeypatch.setattr(limits, "JOB_VALUES", 100_000)
        convert(write(tmp_path, f"{bomb}\njob_conf: []"))
    monkeypatch.setattr(limits, "JOB_FILE_BYTES", 10)
    with pytest.raises(JobError, match=r"old\.yml: more than the 10 bytes"):
        convert(write(tmp_path, SPEECH))
    with pytest.raises(JobError, match="cannot be read"):
        convert(tmp_path)


def test_no_key_is_known_in_two_ways() -> None:
    assert not {*TAKEN} & {*REASONS}
    assert not {*ALIASES} & {*TAKEN, *REASONS}
    assert {*ALIASES.values()} <= {*TAKEN, *REASONS}


def test_every_known_key_is_looked_at() -> None:
    """In a job that chooses all that has options, only those of the other policies are left over."""
    old = OldJob("old.yml", dict.fromkeys(TAKEN, 1), {})
    old.values |= {"gradient_policy": "yogi", "sample_mode": "oort", "data_set": "femnist", "model": "lr"}
    translate(old, DATASETS, MODELS)
    missed = [note.key for note in old.notes if note.text.endswith("means nothing in a job of this kind")]
    assert sorted(missed) == ["proxy_mu", "qfed_q"]


def test_the_command(tmp_path: Path) -> None:
    text = SPEECH.replace("data_set: google_speech", "data_set: Mnist").replace("resnet34", "mobilenet_v2")
    path, out = write(tmp_path, text), tmp_path / "new.yaml"
    result = CliRunner().invoke(app, ["convert-job", str(path), "--out", str(out), "--home", str(tmp_path)])
    assert result.exit_code == 0, result.exception
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert lines[0] == f"{path}: 1 unknown, 13 not honoured, 3 changed, 14 used, 6 by default"
    assert lines[1].startswith("  unknown      num_particpants: 7, did you mean")
    assert lines[-1] == f"wrote {out}"
    assert "me" not in result.stderr.split()  # the value of auth is not shown
    job = Job.load(out)
    assert (job.name, job.rounds.count, job.local.steps) == ("google_speech", 5000, 30)
    shown = CliRunner().invoke(app, ["convert-job", str(path), "--home", str(tmp_path)])
    assert shown.stdout == out.read_text(encoding="utf-8")
    assert shown.stdout.startswith("# Made of old.yml by `fedscale convert-job`.\nname: google_speech\n")


def test_options_are_checked_by_what_takes_them(tmp_path: Path) -> None:
    path = conf(tmp_path, gradient_policy="yogi", yogi_beta=1.5)
    error = CliRunner().invoke(app, ["convert-job", str(path)]).exception
    assert isinstance(error, JobError)
    assert "server 'fedyogi', option 'beta1'" in str(error)


def test_a_converted_job_runs(tmp_path: Path) -> None:
    """All that an old job can ask for at once, on data that are here."""
    given = {"gradient_policy": "yogi", "sample_mode": "oort", "filter_less": 1, "model": "lr", "rounds": 2}
    path = conf(tmp_path, data_set="digits", num_participants=2, malicious_factor=5, eval_interval=1, **given)
    out = tmp_path / "new.yaml"
    assert CliRunner().invoke(app, ["convert-job", str(path), "--out", str(out)]).exit_code == 0
    run = ["run", str(out), "--out", str(tmp_path / "run"), "--workers", "1"]
    result = CliRunner().invoke(app, run)
    assert result.exit_code == 0, result.exception
    assert Job.load(tmp_path / "run" / "job.yaml").server.name == "fedyogi"


def test_the_papers_datasets_are_found_by_the_original_names() -> None:
    reachable = {name for names in (*vocabulary.DATASETS.values(), *vocabulary.BY_TASK.values()) for name in names}
    of_the_paper = {name for name in CATALOGUE.names() if CATALOGUE.build(name).card.paper is not None}
    assert of_the_paper - reachable == set()
