"""Mean pooling for encoders whose classification head reads the first token only.

Sentence encoders such as MiniLM were trained to be averaged over their tokens; their first token
says little, and a head on it learns badly from a few rows. The average is added as one more
transformer layer, so that what is saved is still a plain BERT or RoBERTa that
`AutoModelForSequenceClassification` loads without code of ours.
"""

import copy
import json
from pathlib import Path
from typing import Any

from synthgen.errors import ConfigError

MODEL_TYPES = ("bert", "roberta", "xlm-roberta")
_WEIGHT = 8.0
"""How much the average outweighs the first token's own state before the layer norm."""
_DAMPING = 8.0
"""Keeps a normalised state (about 1 an entry) in the linear part of the head's tanh."""


def use_mean(pooling: str, path: str, model_type: str) -> bool:
    """Return True when the encoder at `path` gets the averaging layer.

    Raises ConfigError where it is asked for and the architecture has no place for it.
    """
    fits = model_type in MODEL_TYPES
    if pooling == "mean" and not fits:
        raise ConfigError(
            f"student.classifier.pooling: mean needs one of {', '.join(MODEL_TYPES)}, and {path} is {model_type}; "
            "use own"
        )
    return pooling == "mean" or (pooling == "auto" and fits and _trained_for_mean(path))


def _trained_for_mean(path: str) -> bool:
    """Return True when the sentence-transformers file beside the model says that its tokens are averaged."""
    from transformers.utils.hub import cached_file

    found = cached_file(
        path,
        "1_Pooling/config.json",
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return bool(found and json.loads(Path(found).read_text(encoding="utf-8")).get("pooling_mode_mean_tokens"))


def add_mean_layer(model: Any) -> None:
    """Append a layer after which the first token holds the average of the last hidden states.

    Its queries are zero, so that the first token attends to all tokens alike; values and output
    are the identity, its feed-forward part adds nothing, and the dense layer of the head passes
    the result on. All of it is trained further like any other layer.
    """
    import torch

    encoder = model.base_model.encoder
    layer = copy.deepcopy(encoder.layer[-1])
    head = model.bert.pooler.dense if model.config.model_type == "bert" else model.classifier.dense
    identity = torch.eye(model.config.hidden_size)
    attention = layer.attention
    with torch.no_grad():
        for linear, weight in (
            (attention.self.query, 0 * identity),
            (attention.self.value, identity),
            (attention.output.dense, _WEIGHT * identity),
            (head, identity / _DAMPING),
        ):
            linear.weight.copy_(weight)
            linear.bias.zero_()
        layer.output.dense.weight.zero_()
        layer.output.dense.bias.zero_()
        for norm in (attention.output.LayerNorm, layer.output.LayerNorm):
            norm.weight.fill_(1.0)
            norm.bias.zero_()
    attention.self.layer_idx = len(encoder.layer)
    encoder.layer.append(layer)
    model.config.num_hidden_layers += 1
