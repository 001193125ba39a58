"""The original's words and ours: spellings, datasets, models, and keys that nothing here corresponds to.

Keys and defaults are those of the original's ``config_parser.py`` at 7ec441c2; older spellings are of its earlier
releases and of jobs that users showed.
"""

from __future__ import annotations

from typing import Final

ALIASES: Final = {
    "total_worker": "num_participants",
    "epochs": "rounds",
    "decay_epoch": "decay_round",
    "manager_port": "ps_port",
    "data_mapfile": "data_map_file",
    "client_path": "device_conf_file",
    "upload_epoch": "local_steps",
}
"""Older spellings of keys."""

PLAIN: Final = (
    ("num_participants", "rounds.participants", int, 4),
    ("overcommitment", "rounds.over_commitment", float, 1.3),
    ("rounds", "rounds.count", int, 50),
    ("local_steps", "local.steps", int, 20),
    ("batch_size", "local.batch_size", int, 30),
    ("learning_rate", "local.lr", float, 0.05),
    ("min_learning_rate", "local.min_lr", float, 5e-5),
    ("decay_factor", "local.lr_decay", float, 0.98),
    ("decay_round", "local.lr_decay_rounds", int, 10),
    ("eval_interval", "evaluate.every", int, 5),
)
"""Keys that mean the same here: key, ours, type, the original's default."""

OORT: Final = (
    ("exploration_factor", "exploration", float, 0.9),
    ("exploration_decay", "exploration_decay", float, 0.98),
    ("exploration_min", "exploration_min", float, 0.3),
    ("cut_off_util", "cut_off", float, 0.05),
    ("clip_bound", "clip", float, 0.9),
    ("round_penalty", "penalty", float, 2.0),
    ("round_threshold", "pace", float, 30.0),
    ("pacer_delta", "pace_step", float, 5.0),
    ("pacer_step", "pace_window", int, 20),
)
"""Options of the selector Oort, likewise."""

YOGI: Final = (
    ("yogi_eta", "lr", float, 3e-3),
    ("yogi_beta", "beta1", float, 0.9),
    ("yogi_beta2", "beta2", float, 0.99),
    ("yogi_tau", "tau", float, 1e-8),
)
"""Options of the server optimizer, likewise."""

POLICIES: Final = {
    "fed-avg": "fed-avg",
    "fedavg": "fed-avg",
    "none": "fed-avg",
    "fed-yogi": "fed-yogi",
    "yogi": "fed-yogi",
    "fedyogi": "fed-yogi",
    "fed-prox": "fed-prox",
    "prox": "fed-prox",
    "fedprox": "fed-prox",
    "q-fedavg": "q-fedavg",
    "qfedavg": "q-fedavg",
}
"""Values of ``gradient_policy``, and what each means; it says both what the server and what clients do."""

SAMPLE_MODES: Final = {"random": "uniform", "oort": "oort", "kuiper": "oort"}
"""Values of ``sample_mode``, and selectors."""

DATASETS: Final[dict[str, tuple[str, ...]]] = {
    "amazon": ("amazon",),
    "blog": ("blog",),
    "charades": ("charades",),
    "coqa": ("coqa",),
    "common_voice": ("common_voice",),
    "emnist": ("femnist",),
    "europarl": ("europarl",),
    "femnist": ("femnist",),
    "fox_go": ("fox_go", "foxgo", "go"),
    "google_speech": ("google_speech", "speech_commands"),
    "inaturalist": ("inature", "inaturalist"),
    "landmark": ("landmark", "landmarks", "google_landmark"),
    "libritts": ("libritts",),
    "mnist": ("qmnist",),
    "openimg": ("openimage", "open_images", "openimages"),
    "puffer": ("puffer",),
    "reddit": ("reddit",),
    "speech": ("google_speech", "speech_commands"),
    "stackoverflow": ("stackoverflow",),
    "taobao": ("taobao",),
    "taxi": ("taxi",),
    "vlog": ("vlog",),
    "waymo": ("waymo",),
}
"""Values of ``data_set`` in small letters, and names of the catalogue."""

BY_TASK: Final = {
    ("amazon", "nlp"): ("amazon_words",),
    ("openimg", "detection"): ("openimage_detection",),
    ("stackoverflow", "tag-one-sample"): ("stackoverflow_tags",),
}
"""The same, where the ``task`` makes another one of it."""

OTHER_DATA: Final = {
    "mnist": "qmnist has MNIST's digits and their writers",
    "emnist": "femnist has the same characters by writer",
}
"""Datasets that another one stands for."""

MODELS: Final[dict[str, tuple[str, ...]]] = {
    "resnet18": ("resnet18",),
    "resnet34": ("resnet34", "resnet18"),
    "resnet50": ("resnet50", "resnet34", "resnet18"),
    "resnet_heterofl": ("resnet18",),
    "shufflenet_v2_x2_0": ("shufflenet_v2",),
    "shufflenet_v2_x1_0": ("shufflenet_v2",),
    "mobilenet_v2": ("mobilenet_v2",),
    "mobilenet": ("mobilenet_v2",),
    "albert-base-v2": ("albert",),
    "lr": ("logistic_regression",),
}
"""Values of ``model``, and names of models here: the first that there is."""

SAME_MODELS: Final = frozenset(
    {"resnet18", "resnet34", "resnet50", "shufflenet_v2_x1_0", "mobilenet_v2", "albert-base-v2", "lr"}
)
"""Those whose first equivalent is the same network."""

_PLACE: Final = "where a job runs is no part of it: --workers, or executor: ray for several machines"
_OUTPUT: Final = "results go where `fedscale run --out DIR` says"
_DATA: Final = "belongs to the dataset here: `fedscale data info` says what its options are"
_NEVER: Final = "the original read it and never used it"

REASONS: Final = {
    **dict.fromkeys(("ps_ip", "ps_port", "worker_ips", "this_rank", "num_executors", "executor_configs"), _PLACE),
    **dict.fromkeys(("auth", "setup_commands", "cuda_device", "ports", "container_network", "data_path"), _PLACE),
    **dict.fromkeys(("use_container", "num_aggregators", "redis_conf"), _PLACE),
    **dict.fromkeys(("log_path", "time_stamp", "output_dir", "test_output_dir"), _OUTPUT),
    "wandb_token": "results go to DIR/report.html, and to TensorBoard by `fedscale report DIR --tensorboard EVENTS`",
    **dict.fromkeys(("num_loaders", "data_cache", "overwrite_cache"), "samples are read from a mapped file here"),
    "test_bsz": "the size of a batch changes no result of a test here",
    "test_ratio": "evaluate.max_clients tests on fewer clients",
    "save_checkpoint": "checkpoints are always written: checkpoint_every, `fedscale resume DIR`",
    "loss_decay": "the loss that is reported is the mean over the task's steps, not a moving one",
    "task": "follows from the dataset",
    "model_zoo": "the model's name is enough",
    "input_shape": "follows from the dataset",
    "num_classes": "follows from the dataset",
    "num_class": "follows from the dataset",
    "skip_partition": "a dataset of the catalogue has its clients",
    "blacklist_max_len": "whoever was selected too often comes last, whatever their share",
    "sample_window": "clients not yet known are explored uniformly",
    "arrival_interval": "a place that is free is filled at once",
    "checkin_period": "a place that is free is filled at once",
    **dict.fromkeys(
        ("clock_factor", "model_size", "train_uniform", "dump_epoch", "conf_path", "backend", "adam_epsilon"), _NEVER
    ),
    **dict.fromkeys(("connection_timeout", "exploration_alpha", "upload_step"), _NEVER),
    **dict.fromkeys(
        ("embedding_file", "line_by_line", "clf_block_size", "block_size", "mlm", "mlm_probability"), _DATA
    ),
    **dict.fromkeys(("vocab_token_size", "vocab_tag_size", "input_dim", "output_dim"), _DATA),
    **dict.fromkeys(("cfg_file", "train_size_file", "test_size_file", "backbone"), _DATA),
    **dict.fromkeys(("train-manifest", "test-manifest", "labels-path", "sample-rate", "window-size"), _DATA),
    **dict.fromkeys(("window-stride", "window", "hidden-size", "hidden-layers", "rnn-type", "finetune"), _DATA),
    **dict.fromkeys(("speed-volume-perturb", "spec-augment", "noise-dir", "noise-prob", "noise-min"), _DATA),
    **dict.fromkeys(("noise-max", "no-bidirectional"), _DATA),
    **dict.fromkeys(
        ("epsilon", "gamma", "memory_capacity", "target_replace_iter", "n_actions", "n_states"),
        "reinforcement learning has no task here",
    ),
}
"""Keys that cannot be honoured, and why."""

SECRETS: Final = frozenset({"auth", "redis_conf", "wandb_token"})
"""Keys whose values are not shown."""

PROGRAMS: Final = {
    "async": "asynchronous",
    "auxo": "auxo",
    "differential_privacy": "privacy",
    "dry_run": "dry_run",
    "heterofl": "heterofl",
    "localdp": "privacy",
    "poison": "attack",
}
"""Parts of the paths of the original's example programs, in small letters, and what they are about."""

OWN_PROGRAMS: Final = ("executor.py", "aggregator.py")
"""Names of the original's own programs."""

TAKEN: Final = (
    *(key for table in (PLAIN, OORT, YOGI) for key, *_ in table),
    *("gradient_policy", "qfed_q", "proxy_mu", "sample_mode", "blacklist_rounds", "filter_less", "filter_more"),
    *("data_set", "data_dir", "data_map_file", "model", "device_conf_file", "device_avail_file", "job_name"),
    *("experiment_mode", "engine", "async_mode", "async_buffer", "max_concurrency", "max_staleness"),
    *("noise_factor", "clip_threshold", "target_delta", "malicious_factor", "use_cuda", "sample_seed"),
    *("weight_decay", "exp_path", "executor_entry", "aggregator_entry"),
)
"""Keys that something here corresponds to."""
