"""Jobs: read, refused with a reason, changed by settings, digested, written and read back."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from fedscale import Job, limits
from fedscale.errors import JobError
from fedscale.recipes import RECIPES, recipe


def parse(**sections):
    return Job.parse({"data": "digits"} | sections)


@pytest.fixture
def load(tmp_path):
    """Write a job file and load it."""

    def make(text, *settings, name="job.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return Job.load(path, settings)

    return make


def test_a_name_of_data_is_enough():
    job = Job(data="digits")
    assert (job.data.name, job.seed, job.local.steps, job.rounds.participants) == ("digits", 1, 20, 100)
    assert job == parse() == Job.parse({"data": {"name": "digits"}})
    with pytest.raises(JobError, match=r"^job: 'data' is required$"):
        Job.parse({})


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"round": {}}, "unknown key 'round': did you mean 'rounds'"),
        ({"rounds": {"participant": 3}}, r"unknown key 'rounds\.participant': did you mean 'participants'"),
        ({"data": {"name": "x", "split": {"tests": 1}}}, r"unknown key 'data\.split\.tests': did you mean 'test'"),
        ({"local": {"momentun": 0.9}}, r"unknown key 'local\.momentun': did you mean 'momentum'"),
        ({"availability": {"sauce": "csv"}}, r"unknown key 'availability\.sauce': did you mean 'source'"),
        ({"cost": {"qqqq": 1}}, r"unknown key 'cost\.qqqq': known: 'compute_factor', 'payload_bytes'$"),
    ],
)
def test_an_unknown_key_gets_the_nearest_ones_at_every_level(sections, message):
    with pytest.raises(JobError, match=message):
        parse(**sections)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"lr": 1}, r"unknown key 'lr': did you mean local\.lr\?$"),
        ({"compression": "topk"}, r"compression: must be keys of its own: up, down \(got 'topk'\)"),
        ({"attack": "sign_flip"}, r"attack: nobody attacks unless fraction is given, a share"),
        ({"attack": {"fraction": 0.2}}, r"attack: an attack needs a name"),
        ({"attack": {"scale": 2}}, r"attack: an attack needs a name"),
        (
            {"asynchronous": {"concurrency": 4}, "rounds": {"deadline": 9}},
            r"do not go with asynchronous.* leave them out$",
        ),
        ({"rounds": {"count": 0}}, r"rounds\.count: must be greater than 0 \(got 0\)"),
        ({"rounds": {"count": "many"}}, r"rounds\.count: .*valid integer.* \(got 'many'\)"),
        ({"rounds": {"over_commitment": 0.9}}, r"rounds\.over_commitment: .*greater than or equal to 1"),
        ({"rounds": {"deadline": float("nan")}}, r"rounds\.deadline: .*finite number"),
        ({"rounds": {"weighting": "sample"}}, r"rounds\.weighting: .*'samples' or 'uniform'"),
        ({"rounds": 5}, r"^job: rounds: .*\(got 5\)"),
        ({"local": {"lr": float("inf")}}, r"local\.lr: .*finite number"),
        ({"local": {"lr": -1}}, r"local\.lr: must be greater than 0 \(got -1\)"),
        ({"local": {"steps": 2.5}}, r"local\.steps: .*integer"),
        ({"local": {"steps": 3, "epochs": 2}}, "give either steps or epochs, not both"),
        ({"local": {"steps": None}}, "not both and not neither"),
        ({"evaluate": {"deviation": 0.1}}, "deviation and confidence belong together: give both or neither"),
        ({"evaluate": {"deviation": 0.1, "confidence": 1.0}}, r"evaluate\.confidence: .*less than 1"),
        (
            {"evaluate": {"deviation": 0.1, "confidence": 0.9, "max_clients": 5}},
            "evaluate: give either max_clients, or deviation and confidence",
        ),
        ({"data": {"name": "x", "split": {"train": 0.5}}}, r"add up to 0\.7; they must add up to 1"),
        ({"data": 5}, r"data: .*\(got 5\)"),
        ({"server": {"lr": 1}}, r"'server\.name' is required"),
        ({"name": "../escape"}, r"name: String should match pattern .*\(got '\.\./escape'\)"),
        ({"name": "/etc/x"}, "name: String should match"),
        ({"name": "a\0b"}, "name: String should match"),
        ({"name": "-x"}, "name: String should match"),
        ({"name": "line\nline"}, "name: String should match"),
        ({"name": ""}, "name: String should match"),
        ({"name": "x" * 101}, "name: String should have at most 100 characters"),
        ({"devices": {"file": "~nobody-of-this-name/x"}}, r"devices\.file: .*home directory"),
        ({"plugins": "one.py"}, "plugins: .*tuple"),
    ],
)
def test_a_bad_value_is_named_with_its_key(sections, message):
    with pytest.raises(JobError, match=message):
        parse(**sections)


def test_every_mistake_is_named():
    with pytest.raises(JobError) as caught:
        parse(rounds={"count": 0, "x": 1}, seed="a")
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data: [", r"job\.yaml: not valid YAML: (?s:.)*line 1"),
        ("- data\n", r"job\.yaml: a job is a mapping of keys to values, not list"),
        ("", "not NoneType"),
        ("data: !!python/object/apply:os.system [touch canary]", "not valid YAML: could not determine a constructor"),
        ("data: 2020-13-45", "not valid YAML: month must be in 1"),
        ("data: " + "[" * 5000, "not valid YAML"),
        ("data: digits\n1: 2\n", "1: Keys should be strings"),
        ("data: digits\nrounds: {1: 2}\n", "rounds.*string"),
        ("data: {name: x, a: &a [*a]}", f"option 'a': nested more than {limits.JOB_DEPTH} deep"),
        ("data: {name: x, a: &a {b: *a}}", f"option 'a': nested more than {limits.JOB_DEPTH} deep"),
        ("data: {name: x, a: {1: 2}}", r"option 'a': has the keys \[1\]; keys are texts"),
        ("data: {name: x, a: [.nan]}", "option 'a': holds nan; options are finite numbers"),
        ("data: {name: x, a: 2020-01-01}", r"option 'a': holds datetime\.date\(2020, 1, 1\)"),
        ("data: {name: x, a: !!binary AAAA}", "option 'a': holds b'"),
    ],
)
def test_a_file_that_is_no_job_is_refused_by_name(load, tmp_path, monkeypatch, text, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(JobError, match=message) as caught:
        load(text)
    assert "job.yaml" in str(caught.value)
    assert not Path("canary").exists()


def test_a_bomb_of_aliases_is_refused_at_once(load):
    levels = "\n".join(f"  l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 12))
    text = f"data:\n  name: x\n  l0: &l0 [1, 1, 1]\n{levels}\n"
    begin = time.perf_counter()
    with pytest.raises(JobError, match="made of more than 1000000 values"):
        load(text)
    with pytest.raises(JobError, match="unknown key 'bomb'"):
        load(text.replace("data:", "bomb:"))
    assert time.perf_counter() - begin < 10


def test_a_path_may_be_a_string(tmp_path):
    (tmp_path / "job.yaml").write_text("data: digits")
    assert Job.load(str(tmp_path / "job.yaml")) == Job.parse({"data": "digits"})


def test_files_that_are_too_large_or_not_there_or_no_text_are_refused(tmp_path):
    path = tmp_path / "job.yaml"
    with pytest.raises(JobError, match=r"job\.yaml: cannot be read: .*No such file"):
        Job.load(path)
    with pytest.raises(JobError, match="cannot be read"):
        Job.load(tmp_path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(JobError, match=r"job\.yaml: cannot be read"):
        Job.load(path)
    path.write_bytes(b"#" * (limits.JOB_FILE_BYTES + 1))
    with pytest.raises(JobError, match="1048577 bytes, more than the 1048576 a job may have"):
        Job.load(path)


def test_numbers_as_yaml_reads_them(load):
    """YAML 1.1 takes 3e-3 for a text and 1 for a whole number; both are numbers here."""
    job = load("data: digits\nlocal: {lr: 3e-3}\nserver: {name: fedyogi, lr: 1e-2}\nrounds: {over_commitment: 2}\n")
    assert job.local.lr == 0.003
    assert isinstance(job.rounds.over_commitment, float)
    assert load("data: digits\nrounds: {over_commitment: 2}").digest == parse(rounds={"over_commitment": 2.0}).digest


@pytest.mark.parametrize("off", ["off", "no", "false", "none", "{source: off}", "'off'", "{source: none}"])
def test_off_switches_a_source_off(load, off):
    assert load(f"data: digits\navailability: {off}").availability.source == "none"
    assert parse().with_settings([f"availability={off}"]).availability.source == "none"
    assert parse().with_settings([f"devices={off}"]).devices.source == "none"


def test_epochs_replace_steps_and_steps_epochs():
    assert (parse(local={"epochs": 2}).local.steps, parse(local={"epochs": 2}).local.epochs) == (None, 2)
    epochs = parse().with_settings(["local.epochs=3"])
    assert (epochs.local.steps, epochs.local.epochs) == (None, 3)
    steps = epochs.with_settings(["local.steps=7"])
    assert (steps.local.steps, steps.local.epochs) == (7, None)
    others = parse().with_settings(["pacing.steps=[1, 9]", "algorithm.name=finetune", "algorithm.steps=3"])
    assert (others.pacing.steps, others.algorithm.options) == ((1, 9), {"steps": 3})


def test_settings_reach_every_level(load):
    job = load(
        "data: synthetic\nserver: fedavg\n",
        "rounds.count=20",
        "server.name=fedyogi",
        "server.lr=0.01",
        "data.split.train=1",
        "data.split.validation=0",
        "data.split.test=0",
        "data.sizes=[1, 2]",
        "model.name=mlp",
        "name=mine",
        "rounds.deadline=",
    )
    assert job.rounds.count == 20
    assert (job.server.name, job.server.options) == ("fedyogi", {"lr": 0.01})
    assert job.data.split.train == 1.0
    assert job.data.options == {"sizes": [1, 2]}
    assert job.model.name == "mlp"
    assert (job.name, job.rounds.deadline) == ("mine", None)
    assert recipe("digits").with_settings(["rounds.count=3"]).rounds.count == 3


def test_a_section_that_is_switched_off_can_be_set_again():
    assert parse(availability="off").with_settings(["availability.source=builtin"]).availability.source == "builtin"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("rounds.count", "write section.key=value, e.g. --set rounds.count=20"),
        ("=5", "write section.key=value"),
        ("rounds..count=5", "write section.key=value"),
        ("seed.x=5", "'seed' holds a value, not a section"),
        ("rounds.count=[", "the value is not valid YAML"),
        ("rounds.count=2020-13-45", "the value is not valid YAML"),
        ("rounds.cuont=5", r"--set: unknown key 'rounds\.cuont': did you mean 'count'"),
        ("round.count=5", "unknown key 'round': did you mean 'rounds'"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(setting, message):
    with pytest.raises(JobError, match=message):
        parse().with_settings([setting])


def test_files_are_relative_to_the_job_file_and_kept_absolute(load, tmp_path, monkeypatch):
    text = """
    data: ./store
    devices: {source: csv, file: tables/devices.csv}
    availability: {source: csv, file: /shared/slots.csv}
    plugins: [mine.py, ~/other.py]
    """
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    job = load(text)
    assert job.data.name == str(tmp_path / "store")
    assert job.files == {
        "devices.file": tmp_path / "tables" / "devices.csv",
        "availability.file": Path("/shared/slots.csv"),
        "plugins.0": tmp_path / "mine.py",
        "plugins.1": tmp_path / "home" / "other.py",
    }
    monkeypatch.chdir(tmp_path)
    assert Job.load(Path("job.yaml")) == job
    assert parse(plugins=["mine.py"]).plugins == (tmp_path / "mine.py",)


def test_a_job_is_frozen_at_every_level():
    job = recipe("digits")
    for section, key in ((job, "seed"), (job.rounds, "count"), (job.data, "name"), (job.data.split, "test")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(section, key, 1)
    job.data.options["clients"] = 3
    assert job.data.options == {}


def test_the_digest_is_over_what_matters():
    job = parse(rounds={"count": 5}, server={"name": "fedyogi", "lr": 0.1, "tau": 0.2})
    same = Job.parse(
        {"server": {"tau": 0.2, "name": "fedyogi", "lr": 0.1}, "rounds": {"count": 5}, "data": {"name": "digits"}}
    )
    assert job.digest == same.digest
    assert len(job.digest) == 32
    variants = [
        job.with_settings([setting])
        for setting in ("seed=2", "rounds.count=6", "server.lr=0.2", "name=x", "availability=off", "local.epochs=1")
    ]
    assert len({job.digest, *(variant.digest for variant in variants)}) == 7


def test_the_digest_is_the_same_in_every_process_and_folder(tmp_path, monkeypatch):
    code = "from fedscale import recipe; print(recipe('shakespeare').digest)"
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("0", "1")
    }
    assert found == {recipe("shakespeare").digest}
    here = parse(plugins=["a.py"]).digest
    monkeypatch.chdir(tmp_path)
    assert parse(plugins=["a.py"]).digest == here


@pytest.mark.parametrize("name", RECIPES.names())
def test_every_recipe_is_written_and_read_back(name, tmp_path):
    job = recipe(name)
    (tmp_path / "job.yaml").write_text(job.to_yaml())
    assert Job.load(tmp_path / "job.yaml") == job


POSITIVE = st.integers(1, 10**6)
RATES = st.floats(1e-9, 1e9, allow_nan=False)
TEXTS = st.text(st.characters(exclude_characters="/", exclude_categories=("Cs",)), max_size=10)
OPTIONS = st.dictionaries(
    TEXTS.filter(lambda key: key and key not in ("name", "self") and not key.startswith(("model_", "_"))),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
        max_leaves=5,
    ),
    max_size=3,
)
JOBS = st.fixed_dictionaries(
    {
        "data": st.just("digits"),
        "seed": st.integers(),
        "rounds": st.fixed_dictionaries(
            {"count": POSITIVE, "deadline": st.none() | RATES, "over_commitment": RATES.filter(lambda x: 1 <= x <= 100)}
        ),
        "local": st.fixed_dictionaries({"lr": RATES}) | st.fixed_dictionaries({"epochs": POSITIVE}),
        "server": OPTIONS.map(lambda options: {"name": "mine", **options}),
        "model": st.none() | OPTIONS.map(lambda options: {"name": "mine", **options}),
    }
)


@given(values=JOBS)
@example(values={"data": "digits", "seed": 0, "server": {"name": "mine", "\x85": None}})
def test_any_job_is_written_and_read_back(tmp_path_factory, values):
    job = Job.parse(values)
    path = tmp_path_factory.mktemp("job") / "job.yaml"
    path.write_text(job.to_yaml(), encoding="utf-8")
    assert Job.load(path) == job
    assert Job.load(path).digest == job.digest
    assert yaml.safe_load(job.to_yaml())["seed"] == values["seed"]
