"""Names are found by any token classification model whose labels know people; the wiring, with a model of nothing."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from ft_assets.curation.pii.names import NamesModel
from ft_assets.curation.redaction import Redactor
from ft_assets.errors import WrongInput

_TEXT = "Ann Lee wrote to bob@example.com today"


def save_model(folder: Path, labels: Mapping[int, str], always: int, pickled: bool = False) -> str:
    """A random BERT of a few hundred weights that gives every token the label `always`."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertForTokenClassification, PreTrainedTokenizerFast

    config = BertConfig(vocab_size=4, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8,
                        max_position_embeddings=512, id2label=dict(labels),
                        label2id={label: key for key, label in labels.items()})  # fmt: skip
    model = BertForTokenClassification(config)
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias[:] = torch.nn.functional.one_hot(torch.tensor(always), len(labels)) * 20.0
    model.save_pretrained(folder)
    if pickled:
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()
    words = Tokenizer(models.WordLevel({"[UNK]": 0, "[PAD]": 1}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="[UNK]", pad_token="[PAD]", model_max_length=10**30
    ).save_pretrained(folder)
    return str(folder)


def test_names_become_placeholders_beside_the_other_types(tmp_path: Path) -> None:
    names = NamesModel(save_model(tmp_path, {0: "O", 1: "I-PER"}, always=1))
    redactor = Redactor(names)
    assert redactor.text("Ann Lee") == "<PERSON_1>"
    assert redactor.text("Bob Day") == "<PERSON_2>"
    assert redactor.text("ann lee") == "<PERSON_1>"
    assert redactor.text("ann@example.com") == "<EMAIL_1>"
    assert redactor.text(" ") == " "
    assert redactor.counts == {"PERSON": 3, "EMAIL": 1}


def test_texts_longer_than_the_model_are_read_to_their_end(tmp_path: Path) -> None:
    names = NamesModel(save_model(tmp_path, {0: "O", 1: "I-PER"}, always=1))
    text = "Ann " * 2_000
    assert max(end for _, end in names.spans(text)) == len(text.rstrip())


def test_other_labels_stay(tmp_path: Path) -> None:
    names = NamesModel(save_model(tmp_path, {0: "O", 1: "B-PER", 2: "B-LOC"}, always=2))
    assert Redactor(names).text(_TEXT) == "Ann Lee wrote to <EMAIL_1> today"


def test_nothing_is_loaded_before_the_first_text() -> None:
    Redactor(NamesModel("no/such-model"))


def test_a_model_without_people_is_refused(tmp_path: Path) -> None:
    names = NamesModel(save_model(tmp_path, {0: "O", 1: "B-LOC"}, always=0))
    with pytest.raises(WrongInput, match=r"labels of .* are O, B-LOC"):
        list(names.spans(_TEXT))


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    names = NamesModel(save_model(tmp_path, {0: "O", 1: "B-PER"}, always=1, pickled=True))
    with pytest.raises(WrongInput, match="names_model"):
        list(names.spans(_TEXT))


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongInput, match="names_model"):
        list(NamesModel(str(tmp_path)).spans(_TEXT))
