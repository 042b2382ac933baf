"""Add mean pooling to encoders whose classification head reads the first token only.

Sentence encoders such as MiniLM were trained so that the mean of their token states represents the text. The first
token alone carries little information, so a head on it learns badly from a few rows. The mean is computed by one
additional transformer layer, so the saved model is still a plain BERT or RoBERTa that
`AutoModelForSequenceClassification` loads without synthgen's code.
"""

import copy
import json
from pathlib import Path
from typing import Any

from synthgen.errors import ConfigError

MODEL_TYPES = ("bert", "roberta", "xlm-roberta")
_WEIGHT = 8.0
"""Factor by which the mean outweighs the first token's own state before the layer norm."""
_DAMPING = 8.0
"""Scale that keeps a normalised state (entries of about 1) in the linear range of the head's tanh."""


def use_mean(pooling: str, path: str, model_type: str) -> bool:
    """Return True if the encoder at `path` gets the layer for mean pooling.

    Raise ConfigError if the config asks for it and the architecture does not support it.
    """
    fits = model_type in MODEL_TYPES
    if pooling == "mean" and not fits:
        raise ConfigError(
            f"student.classifier.pooling: mean needs one of {', '.join(MODEL_TYPES)}, but {path} is {model_type}; "
            "set it to own"
        )
    return pooling == "mean" or (pooling == "auto" and fits and _trained_for_mean(path))


def _trained_for_mean(path: str) -> bool:
    """Return True if the model's sentence-transformers settings declare mean pooling."""
    from transformers.utils.hub import cached_file

    found = cached_file(
        path,
        "1_Pooling/config.json",
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return bool(found and json.loads(Path(found).read_text(encoding="utf-8")).get("pooling_mode_mean_tokens"))


def add_mean_layer(model: Any) -> None:
    """Append a layer after which the first token holds the mean of the last hidden states.

    The layer's queries are zero, so the first token attends to all tokens equally. Its value and output
    projections are the identity, its feed-forward part adds nothing, and the head's dense layer passes the
    result on. The layer is trained further like any other layer.
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
