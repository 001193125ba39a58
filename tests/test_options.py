"""Options of everything that a job names: an impossible value is refused with the component, the option, the range.

The first test goes through all tables by itself; the second states the texts; in a third are options that depend on
others.
"""

import inspect
import math
import re

import pytest
from pydantic import TypeAdapter

from fedscale.core.staleness import STALENESS
from fedscale.data.catalogue import DATASETS
from fedscale.errors import JobError
from fedscale.learn.adapters import ADAPTERS
from fedscale.learn.algorithms import ALGORITHMS
from fedscale.learn.attacks import ATTACKS
from fedscale.learn.codecs import CODECS
from fedscale.learn.models import MODELS
from fedscale.learn.objectives import OBJECTIVES
from fedscale.learn.privacy import PRIVACY
from fedscale.learn.rules import RULES
from fedscale.learn.secure import SECURE
from fedscale.learn.server import SERVER_OPTIMIZERS
from fedscale.select import SELECTORS
from fedscale.simulation.sites import EXECUTORS
from fedscale.tables import _hints

TABLES = (
    ADAPTERS,
    ALGORITHMS,
    ATTACKS,
    CODECS,
    DATASETS,
    EXECUTORS,
    MODELS,
    OBJECTIVES,
    PRIVACY,
    RULES,
    SECURE,
    SELECTORS,
    SERVER_OPTIMIZERS,
    STALENESS,
)

GIVEN = {"clients", "participants", "rounds", "classes", "workers", "round_deadline", "selected", "most_weight"}
"""What the runtime gives, in tables where it does; it is no option there."""

ANY_NUMBER = {"seed", "attack backdoor value", "attack backdoor target", "attack label_flip source"} | {
    "attack label_flip target",  # the targets and sources are checked against the task's classes
    "model factorization_machine center",
}

OVERSTEPS = {
    "minimum": lambda bound: bound - 1,
    "maximum": lambda bound: bound * 2 + 1,
    "exclusiveMinimum": lambda bound: bound,
    "exclusiveMaximum": lambda bound: bound,
}


def numbers():
    """Yield table, component, option and JSON schema of every option that is a number."""
    for table in TABLES:
        for name in table.names():
            factory = table.get(name)
            hints = _hints(factory)
            for option in inspect.signature(factory).parameters:
                if option in GIVEN and (table, option) != (DATASETS, "clients"):
                    continue
                if (schema := number(hints.get(option))) is not None:
                    yield table, name, option, schema


def number(hint):
    try:
        schema = TypeAdapter(hint, config={"arbitrary_types_allowed": True}).json_schema()
    except Exception:  # a class of the runtime's, which no schema describes
        return None
    kinds = [
        kind
        for kind in [schema, *schema.get("anyOf", ())]
        if kind.get("type") in ("number", "integer") and "enum" not in kind
    ]
    return kinds[0] if kinds else None


ALL = [pytest.param(*found, id=f"{found[0].kind}-{found[1]}-{found[2]}") for found in numbers()]


@pytest.mark.parametrize(("table", "name", "option", "schema"), ALL)
def test_every_number_has_a_range_which_errors_tell(table, name, option, schema):
    bounds = schema.keys() & OVERSTEPS.keys()
    if not bounds:
        where = f"{table.kind} {name} {option}"
        assert {option, where} & ANY_NUMBER, f"{where}: give its type a range, e.g. fedscale.section.Positive"
    for bound in bounds:
        value = OVERSTEPS[bound](schema[bound])
        with pytest.raises(JobError) as caught:
            table.build(name, {option: value})
        start = f"{table.kind} {name!r}, option {option!r}: must be "
        assert str(caught.value).startswith(start) and f"{schema[bound]}" in str(caught.value)
        assert str(caught.value).endswith(f" (got {value!r})")


@pytest.mark.parametrize(
    ("table", "name", "option", "value", "allowed"),
    [
        (ALGORITHMS, "finetune", "steps", -1, "at least 0"),
        (ALGORITHMS, "finetune", "lr", 0, "greater than 0"),
        (ALGORITHMS, "fedrep", "head_epochs", 0, "greater than 0"),
        (ALGORITHMS, "qfedavg", "q", -0.5, "at least 0"),
        (ALGORITHMS, "scaffold", "control", 1.5, "from 0 to 1"),
        (ATTACKS, "backdoor", "share", 0, "greater than 0 and at most 1"),
        (ATTACKS, "gaussian", "std", -1, "greater than 0"),
        (ATTACKS, "huge", "norm", 1e39, "greater than 0 and at most 1e+38"),
        (CODECS, "qsgd", "levels", 40_000, "from 1 to 32767"),
        (CODECS, "quantize", "bits", 9, "from 2 to 8"),
        (CODECS, "count_sketch", "columns", 1 << 32, "from 1 to 2147483648"),
        (CODECS, "topk", "k", 0, "greater than 0"),
        (DATASETS, "synthetic", "clients", 100_000_000, "from 1 to 50000000"),
        (EXECUTORS, "ray", "gpu_share", 0, "greater than 0 and at most 1"),
        (MODELS, "mlp", "hidden", -1, "greater than 0"),
        (MODELS, "mobilenet_v2", "dropout", 1.0, "at least 0 and below 1"),
        (OBJECTIVES, "fedprox", "mu", -0.1, "at least 0"),
        (PRIVACY, "gaussian", "delta", 1, "greater than 0 and below 1"),
        (PRIVACY, "gaussian", "clip", 0, "greater than 0"),
        (RULES, "trimmed_mean", "share", 0.5, "at least 0 and below 0.5"),
        (RULES, "foolsgold", "dimensions", 0, "from 1 to 67108864"),
        (SELECTORS, "oort", "penalty", -2.0, "from 0 to 100"),
        (SELECTORS, "oort", "clip", math.nan, "greater than 0 and at most 1"),
        (SELECTORS, "tifl", "probabilities", [0.5, -0.5], "from 0 to 1"),
        (SERVER_OPTIMIZERS, "fedadam", "beta1", 1.0, "at least 0 and below 1"),
        (STALENESS, "hinge", "a", -1, "at least 0"),
    ],
)
def test_ranges_in_words(table, name, option, value, allowed):
    place, given = ("probabilities[1]", -0.5) if isinstance(value, list) else (option, value)
    with pytest.raises(JobError) as caught:
        table.build(name, {option: value})
    assert str(caught.value) == f"{table.kind} {name!r}, option {place!r}: must be {allowed} (got {given!r})"


@pytest.mark.parametrize(
    ("table", "name", "options", "given", "message"),
    [
        (ATTACKS, "backdoor", {"target": 4}, {"classes": 4}, "'target': must be a class from 0 to 3 (got 4)"),
        (ATTACKS, "label_flip", {"source": 0, "target": -1}, {"classes": 4}, "must be a class from 0 to 3 (got -1)"),
        (ATTACKS, "label_flip", {"source": 1}, {"classes": 4}, "source and target must be two classes"),
        (ATTACKS, "model_replacement", {"poisoning": {"target": 1}}, {}, "must be an attack, {name: ...} (got {'tar"),
        (CODECS, "random_k", {"error_feedback": True}, {}, "'error_feedback': must be false unless rescale is false"),
        (PRIVACY, "none", {"clip": 1}, {}, "has no option 'clip': 'adaptive_clipping', 'dp_ftrl', 'dp_mf', 'gaussian'"),
        (DATASETS, "synthetic", {"sizes": [3], "clients": 2}, {}, "'clients': must be left out, since sizes has 1"),
        (DATASETS, "synthetic", {"sizes": [3, 0]}, {}, "option 'sizes[1]': must be greater than 0 (got 0)"),
        (DATASETS, "synthetic", {"shape": [10_000, 10_000]}, {}, "'shape': must be of 4194304 numbers at most (got"),
        (DATASETS, "synthetic", {"shape": []}, {}, "option 'shape': "),
        (MODELS, "transformer", {"width": 30}, {"classes": 3}, "'width': must be a multiple of 2 × heads = 8 (got 30)"),
        (PRIVACY, "gaussian", {"clip": None}, {}, "option 'clip': must be a bound that noise = 1 could fit (got None)"),
        (PRIVACY, "adaptive_clipping", {"bit_noise": 0.5}, {}, "'bit_noise': must be more than half of noise = 1"),
        (SELECTORS, "oort", {"exploration_min": 0.95}, {}, "must be at most exploration = 0.9 (got 0.95)"),
        (SELECTORS, "tifl", {"tiers": 2, "probabilities": [0.5, 0.4]}, {"outlook": None}, "must be 2 values, one for"),
        (SELECTORS, "tifl", {"tiers": 3, "probabilities": [0.5, 0.5]}, {"outlook": None}, "must be 3 values, one for"),
    ],
)
def test_options_that_others_rule_out(table, name, options, given, message):
    with pytest.raises(JobError, match=re.escape(message)) as caught:
        table.build(name, options, **given)
    assert str(caught.value).startswith(table.kind)
