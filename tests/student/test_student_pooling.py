"""The averaging layer: the head sees the mean of the tokens, and the model stays a plain one."""

import pytest

from synthgen.engines.bundled import EMBEDDER, resolve
from synthgen.errors import ConfigError
from synthgen.student.pooling import add_mean_layer, use_mean

TEXTS = ["Shares fell on Tuesday.", "The striker, who joined in June, scored twice in the second half.", "Rain"]


def _classifier(folder):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=3, dtype="float32")
    return model.eval(), AutoTokenizer.from_pretrained(folder)


def test_the_first_token_becomes_the_mean_of_the_tokens_as_the_encoder_was_trained_for():
    import torch

    model, tokenizer = _classifier(resolve(EMBEDDER))
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    mask = batch["attention_mask"][..., None]
    with torch.inference_mode():
        states = model.bert(**batch).last_hidden_state
        mean = (states * mask).sum(1) / mask.sum(1)
        before = torch.cosine_similarity(states[:, 0], mean)
        add_mean_layer(model)
        after = torch.cosine_similarity(model.bert(**batch).last_hidden_state[:, 0], mean)
    assert after.min() > 0.97
    assert after.min() > before.max()


@pytest.mark.parametrize("name", ["bert", "xlm-roberta"])
def test_padding_does_not_change_the_mean(tiny_encoders, name):
    import torch

    model, tokenizer = _classifier(tiny_encoders[name])
    add_mean_layer(model)
    with torch.inference_mode():
        together = model(**tokenizer(TEXTS, padding=True, return_tensors="pt")).logits
        alone = torch.cat([model(**tokenizer([text], return_tensors="pt")).logits for text in TEXTS])
    assert torch.allclose(together, alone, atol=1e-5)
    assert not torch.allclose(alone[0], alone[1], atol=1e-4)


@pytest.mark.parametrize("name", ["bert", "xlm-roberta"])
def test_a_saved_model_is_loaded_by_plain_transformers(tiny_encoders, name, tmp_path):
    import torch

    model, tokenizer = _classifier(tiny_encoders[name])
    add_mean_layer(model)
    model.save_pretrained(tmp_path)
    again, _ = _classifier(tmp_path)
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.inference_mode():
        assert torch.equal(model(**batch).logits, again(**batch).logits)


def test_auto_follows_what_the_model_says_it_was_trained_for(tiny_encoders):
    bundled = resolve(EMBEDDER)
    assert use_mean("auto", bundled, "bert")
    assert not use_mean("own", bundled, "bert")
    assert not use_mean("auto", str(tiny_encoders["bert"]), "bert")
    assert use_mean("mean", str(tiny_encoders["bert"]), "bert")
    assert not use_mean("auto", bundled, "distilbert")


def test_an_architecture_without_a_place_for_the_layer_is_refused():
    with pytest.raises(ConfigError, match=r"^student.classifier.pooling: mean needs one of bert, .*; set it to own"):
        use_mean("mean", "some/model", "distilbert")
