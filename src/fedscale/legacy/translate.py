"""From a job of the original to one of ours, with the original's defaults and a note on every key."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from fedscale.errors import nearest
from fedscale.legacy.oldjob import CHANGED, DEFAULT, UNUSED, USED, OldJob
from fedscale.legacy.vocabulary import (
    BY_TASK,
    DATASETS,
    MODELS,
    OORT,
    OTHER_DATA,
    OWN_PROGRAMS,
    PLAIN,
    POLICIES,
    PROGRAMS,
    SAME_MODELS,
    SAMPLE_MODES,
    YOGI,
)

Values = dict[str, Any]

ADAM_TASKS: Final = ("nlp",)
"""Tasks that the original trained with Adam."""


def translate(old: OldJob, datasets: Collection[str], models: Collection[str]) -> Values:
    """Return the values of a job of ours; ``old.notes`` says then what became of each key.

    Args:
        old: as read.
        datasets: names of the catalogue.
        models: names of the models.

    Raises:
        JobError: a value is impossible; it names key and value.
    """
    programs = _programs(old)
    values: Values = {"name": _name(old), "data": _data(old, datasets), "model": _model(old, models)}
    if "sample_seed" in old:
        values["seed"] = _move(old, "sample_seed", "seed", int, 1)
    _plain(old, values)
    _optimizer(old, values)
    _policy(old, values)
    _selector(old, values)
    _asynchronous(old, values, programs)
    _privacy(old, values, programs)
    _attack(old, values, programs)
    _algorithm(values, programs)
    _traces(old, values)
    _machine(old, values)
    old.note_rest()
    return {key: value for key, value in values.items() if value is not None}


def _move(old: OldJob, key: str, target: str, kind: type[int] | type[float], default: float) -> int | float:
    """Return the number of a key that means ``target`` here, or the original's default, and note it."""
    value = old.number(key, kind, default)
    if key in old:
        old.note(USED, key, f"now {target}: {value:g}")
    else:
        old.note(DEFAULT, key, f"the original's default, {target}: {value:g}")
    return value


def _plain(old: OldJob, values: Values) -> None:
    """Move the keys that mean the same here."""
    for key, target, kind, default in PLAIN:
        section, _, name = target.partition(".")
        values.setdefault(section, {})[name] = _move(old, key, target, kind, default)


def _name(old: OldJob) -> str:
    text = old.text("job_name", "demo_job")
    name = re.sub(r"[^\w .+-]+", "-", text)[:100].lstrip(" .+-") or "job"
    if "job_name" in old:
        old.note(USED if name == text else CHANGED, "job_name", f"now name: {name}")
    return name


def _data(old: OldJob, datasets: Collection[str]) -> Values:
    data: Values = {"name": _dataset(old, datasets)}
    data["min_samples"] = max(1, int(_move(old, "filter_less", "data.min_samples", int, 32)))
    if "filter_more" in old:
        data["max_samples"] = _move(old, "filter_more", "data.max_samples", int, 1e15)
    if not old.text("data_map_file") or old.text("data_map_file") == ".":
        if old.text("task") not in ADAM_TASKS:
            participants = int(old.number("num_participants", int, 4))
            data["partition"] = {"name": "iid", "clients": participants}
            text = "none is given, so all samples are dealt out to as many clients as take part in a round"
            old.note(CHANGED, "data_map_file", f"{text}; leave data.partition out to have real clients")
    else:
        how = f"run `fedscale data import {data['name']} --from DIRECTORY` once, where DIRECTORY is its archive"
        old.note(UNUSED, "data_map_file", f"{how} (the folder with client_data_mapping in it)")
    if "data_dir" in old:
        old.note(UNUSED, "data_dir", f"`fedscale data import {data['name']} --from DIRECTORY` reads it, once")
    return data


def _dataset(old: OldJob, datasets: Collection[str]) -> str:
    given = old.text("data_set", "cifar10")
    key = given.lower()
    if key == "blog":  # the original read three sets of texts by one program
        key = next((name for name in ("reddit", "stackoverflow") if name in old.text("data_dir")), key)
    candidates = BY_TASK.get((key, old.text("task"))) or DATASETS.get(key, (re.sub(r"\W+", "_", key),))
    name = next((name for name in candidates if name in datasets), candidates[0])
    if name not in datasets:
        text = f"no dataset of the catalogue is that: {nearest(name, datasets)} Or make it a store of your own"
        old.note(UNUSED, "data_set", text)
    elif key in OTHER_DATA:
        old.note(CHANGED, "data_set", f"now data.name: {name} ({OTHER_DATA[key]})")
    else:
        old.note(USED, "data_set", f"now data.name: {name}")
    return name


def _model(old: OldJob, models: Collection[str]) -> Values | None:
    given = old.text("model", "shufflenet_v2_x2_0")
    known = [name for name in MODELS.get(given, ()) if name in models]
    if not known:
        old.note(UNUSED, "model", f"there is none like it, so the dataset's own is taken: {nearest(given, models)}")
        return None
    same = given in SAME_MODELS and known[0] == MODELS[given][0]
    old.note(
        USED if same else CHANGED, "model", f"now model: {known[0]}" + ("" if same else ", the nearest that there is")
    )
    return {"name": known[0]}


def _optimizer(old: OldJob, values: Values) -> None:
    """Set what the original had fixed: how updates are weighted, and, by task, the steps of clients."""
    values["rounds"]["weighting"] = "uniform"
    task = old.text("task", "cv")
    if task in ADAM_TASKS:
        decay = old.number("weight_decay", float, 0.0)
        values["local"]["weight_decay"] = decay
        old.note(CHANGED, "task", "the original trained it with Adam, here it is SGD: choose local.lr anew")
        if "weight_decay" in old:
            old.note(USED, "weight_decay", f"now local.weight_decay: {decay:g}")
        return
    values["local"] |= {"momentum": 0.9, "weight_decay": 5e-4}
    if "weight_decay" in old:
        old.note(
            UNUSED, "weight_decay", "the original had 0.0005 for this task, whatever was given, and so has this job"
        )


def _options(old: OldJob, table: Iterable[tuple[str, str, Any, float]], section: str) -> Values:
    return {name: _move(old, key, f"{section}.{name}", kind, default) for key, name, kind, default in table}


def _policy(old: OldJob, values: Values) -> None:
    """Set server optimizer, objective or algorithm, which the original called by one name."""
    policy = _choice(old, "gradient_policy", POLICIES, "none")
    if policy == "fed-yogi":
        values["server"] = {"name": "fedyogi", **_options(old, YOGI, "server")}
    elif policy == "fed-prox":
        mu = _move(old, "proxy_mu", "local.objective.mu", float, 0.1)
        values["local"]["objective"] = {"name": "fedprox", "mu": mu}
    elif policy == "q-fedavg":
        values["algorithm"] = {"name": "qfedavg", "q": _move(old, "qfed_q", "algorithm.q", float, 1.0)}
    if "gradient_policy" not in old:
        return
    given = old.text("gradient_policy", "none")
    texts = {"fed-yogi": "server: fedyogi", "fed-prox": "local.objective: fedprox", "q-fedavg": "algorithm: qfedavg"}
    text = f"now {texts.get(policy, 'server: fedavg')}"
    if given in ("yogi", "prox"):
        text += "; releases of the original that expect the name fed-" + given + " ran federated averaging instead"
    old.note(USED, "gradient_policy", text)


def _choice(old: OldJob, key: str, known: Mapping[str, str], default: str) -> str:
    given = old.text(key, default) or default
    if given.lower() not in known:
        raise old.refused(key, f"is not known: {nearest(given, known)}")
    return known[given.lower()]


def _selector(old: OldJob, values: Values) -> None:
    selector = _choice(old, "sample_mode", SAMPLE_MODES, "random")
    if "sample_mode" in old:
        old.note(USED, "sample_mode", f"now selector: {selector}")
    if selector == "uniform":
        return
    values["selector"] = {"name": selector, **_options(old, OORT, "selector")}
    most = int(old.number("blacklist_rounds", int, -1))
    values["selector"]["max_selections"] = most if most > 0 else None
    if "blacklist_rounds" in old:
        old.note(USED, "blacklist_rounds", f"now selector.max_selections: {most if most > 0 else 'null'}")


def _asynchronous(old: OldJob, values: Values, programs: Collection[str]) -> None:
    """Set asynchronous rounds as in the original: the mean of whole models, old ones weighing (1 + τ)^−½."""
    keys = ("async_buffer", "max_concurrency", "max_staleness")
    said = "async" in f"{old.text('experiment_mode')} {old.text('engine')}".lower() or old.flag("async_mode")
    if not (said or "asynchronous" in programs or any(key in old for key in keys)):
        return
    values["asynchronous"] = {
        "concurrency": _move(old, "max_concurrency", "asynchronous.concurrency", int, 10),
        "max_staleness": _move(old, "max_staleness", "asynchronous.max_staleness", int, 5),
        "staleness": {"name": "polynomial", "a": 0.5},
        "refill": 1,
        "apply": "models",
        "damping": False,
    }
    if "async_buffer" in old:
        values["rounds"]["participants"] = _move(old, "async_buffer", "rounds.participants", int, 10)
        old.note(UNUSED, "num_participants", "async_buffer says how many results make a version")
    if "async_mode" in old:
        old.note(USED, "async_mode", "now the section asynchronous")
    old.note(UNUSED, "overcommitment", "means nothing in asynchronous rounds")
    del values["rounds"]["over_commitment"]


def _privacy(old: OldJob, values: Values, programs: Collection[str]) -> None:
    """Set noise as in the original's example, where each client clips its update and adds noise to it.

    N clients' noises of deviation σ C are, in the sum, one of deviation σ √N C.
    """
    if not ("privacy" in programs or "noise_factor" in old or "clip_threshold" in old):
        return
    clients = values["rounds"]["participants"]
    clip = _move(old, "clip_threshold", "privacy.clip", float, 3.0)
    factor = old.number("noise_factor", float, 0.1)
    noise = factor * math.sqrt(clients)
    text = (
        f"each client's own noise; in the sum of {clients} it is privacy.noise: {factor:g} × √{clients} = {noise:.6g}"
    )
    old.note(CHANGED if "noise_factor" in old else DEFAULT, "noise_factor", text)
    values["privacy"] = {"name": "gaussian", "clip": clip, "noise": noise}
    if "target_delta" in old:
        values["privacy"]["delta"] = _move(old, "target_delta", "privacy.delta", float, 1e-4)


def _attack(old: OldJob, values: Values, programs: Collection[str]) -> None:
    """Set label flipping as in the original's example: one of so many clients has its labels permuted."""
    if "malicious_factor" not in old and "attack" not in programs:
        return
    every = old.number("malicious_factor", int, 1e15)
    if every < 1:
        raise old.refused("malicious_factor", "must be at least 1")
    if every > 1e9:
        old.note(UNUSED, "malicious_factor", "one client of so many is nobody")
        return
    values["attack"] = {"name": "label_flip", "fraction": 1 / every}
    text = (
        f"now attack: label_flip by {1 / every:.4g} of the clients; label c becomes the last minus c, not a random one"
    )
    old.note(CHANGED, "malicious_factor", text)


def _algorithm(values: Values, programs: Collection[str]) -> None:
    for name in ("heterofl", "auxo"):
        if name in programs:
            values["algorithm"] = {"name": name}
    if "dry_run" in programs:
        values["dry_run"] = True


def _traces(old: OldJob, values: Values) -> None:
    """Set devices and availability; the original gave client i the file's entry i."""
    for key, section, without in (
        ("device_conf_file", "devices", "all devices are alike; devices: builtin has phones of all kinds"),
        ("device_avail_file", "availability", "everybody is always online; availability: builtin has people's habits"),
    ):
        path, unset = old.path(key), old.unset(key)
        if path is not None:
            values[section] = {"source": "fedscale", "file": str(path), "assign": "in_order"}
            gone = "" if path.exists() else ", which is not on this machine"
            old.note(USED, key, f"now {section}.file: {path}{gone}; assign: random would mix who has which entry")
        elif unset:
            text = f"${unset[0]} is not set (--home sets FEDSCALE_HOME), so {section}: builtin stands for it"
            old.note(CHANGED, key, f"{text}, a population calibrated on facts of the published file")
        else:
            values[section] = {"source": "none"}
            old.note(CHANGED if key in old else DEFAULT, key, f"none is given, so {without}")


def _machine(old: OldJob, values: Values) -> None:
    if "use_cuda" in old:
        if old.flag("use_cuda"):
            values["device"] = "cuda"
        old.note(USED, "use_cuda", f"now device: {values.get('device', 'cpu')}")
    mode, engine = old.text("experiment_mode", "simulation"), old.text("engine", "pytorch")
    if "experiment_mode" in old:
        simulated = mode.lower() in ("simulation", "async")
        old.note(USED if simulated else UNUSED, "experiment_mode", "a job is a simulation here")
    if "engine" in old:
        usual = engine.lower() in ("pytorch", "async")
        old.note(
            USED if usual else UNUSED, "engine", "models are PyTorch's; backend: jax computes some of them with JAX"
        )


def _programs(old: OldJob) -> set[str]:
    """Return what the example programs that a job names are about, and note the programs."""
    found = set()
    for key in ("exp_path", "executor_entry", "aggregator_entry"):
        if key not in old:
            continue
        path = old.text(key)
        about = {kind for part, kind in PROGRAMS.items() if part in path.lower()}
        found |= about
        if about:
            old.note(USED, key, f"the original's example, which is a job's {', '.join(sorted(about))} here")
        elif key == "exp_path" or path.rsplit("/", 1)[-1] in OWN_PROGRAMS:
            old.note(UNUSED, key, "the program is fedscale itself")
        else:
            old.note(
                UNUSED, key, "a program of your own: its hooks become a plugin here (--plugin FILE), a few lines each"
            )
    return found
