"""The student's knobs refuse what cannot work, by the key the user wrote."""

import dataclasses
import itertools
import subprocess
import sys

import pytest

from synthgen.errors import ConfigError
from synthgen.student import ClassifierConfig, FrozenConfig, GeneratorConfig, StudentConfig


@pytest.mark.parametrize(
    ("build", "values", "message"),
    [
        (StudentConfig, {"kind": "both"}, "student.kind: must be one of auto, frozen, none, got both"),
        (FrozenConfig, {"strengths": [0.0]}, "student.frozen.strengths: must be at least one number above 0"),
        (FrozenConfig, {"folds": 1}, "student.frozen.folds: must be 2 or more, got 1"),
        (StudentConfig, {"bootstrap": 10}, "student.bootstrap: must be 100 or more, got 10"),
        (StudentConfig, {"confidence": 1.0}, "student.confidence: "),
        (StudentConfig, {"checkpoint_seconds": -1}, "student.checkpoint_seconds: must be 0 or more, got -1"),
        (ClassifierConfig, {"epochs": -1}, "student.classifier.epochs: must be above 0, got -1"),
        (ClassifierConfig, {"epochs": float("inf")}, "student.classifier.epochs: must be above 0"),
        (ClassifierConfig, {"learning_rate": float("nan")}, "student.classifier.learning_rate: "),
        (ClassifierConfig, {"repeats": 0}, "student.classifier.repeats: must be 1 or more, got 0"),
        (ClassifierConfig, {"min_steps": 0}, "student.classifier.min_steps: "),
        (ClassifierConfig, {"batch_size": 0}, "student.classifier.batch_size: "),
        (ClassifierConfig, {"warmup": 1.0}, "student.classifier.warmup: "),
        (ClassifierConfig, {"weight_decay": -0.1}, "student.classifier.weight_decay: "),
        (ClassifierConfig, {"max_length": 2}, "student.classifier.max_length: "),
        (ClassifierConfig, {"seed_repeat": 0}, "student.classifier.seed_repeat: "),
        (ClassifierConfig, {"pooling": "max"}, "student.classifier.pooling: must be one of auto, mean, own"),
        (GeneratorConfig, {"epochs": 0}, "student.generator.epochs: must be above 0, got 0"),
        (GeneratorConfig, {"rank": 0}, "student.generator.rank: "),
        (GeneratorConfig, {"alpha": 0}, "student.generator.alpha: "),
        (GeneratorConfig, {"dropout": 1.0}, "student.generator.dropout: "),
        (GeneratorConfig, {"target_modules": []}, "student.generator.target_modules: "),
        (GeneratorConfig, {"max_length": 8}, "student.generator.max_length: "),
        (GeneratorConfig, {"max_new_tokens": 0}, "student.generator.max_new_tokens: "),
        (GeneratorConfig, {"generate_rows": 0}, "student.generator.generate_rows: "),
    ],
)
def test_a_value_out_of_range_is_named_by_its_key(build, values, message):
    with pytest.raises(ConfigError) as caught:
        build(**values)
    assert str(caught.value).startswith(message)


def test_hydra_takes_the_config_as_a_schema_and_catches_a_typo():
    from omegaconf import OmegaConf
    from omegaconf.errors import ConfigKeyError

    schema = OmegaConf.structured(StudentConfig)
    merged = OmegaConf.merge(schema, {"classifier": {"epochs": 2}, "generator": {"target_modules": ["q_proj"]}})
    built = OmegaConf.to_object(merged)
    assert isinstance(built, StudentConfig)
    assert (built.classifier.epochs, built.generator.target_modules) == (2.0, ["q_proj"])
    with pytest.raises(ConfigKeyError):
        OmegaConf.merge(schema, {"classifier": {"epoch": 2}})


@pytest.mark.parametrize("config", [StudentConfig, ClassifierConfig, FrozenConfig, GeneratorConfig])
def test_every_knob_is_documented_below_it(config):
    import ast
    import inspect
    import textwrap

    body = ast.parse(textwrap.dedent(inspect.getsource(config))).body[0].body
    documented = {
        field.target.id
        for field, doc in itertools.pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(doc, ast.Expr) and isinstance(doc.value, ast.Constant)
    }
    assert documented == {field.name for field in dataclasses.fields(config)}


def test_importing_the_student_imports_no_heavy_library():
    code = (
        "import sys, synthgen.student; "
        "print([name for name in ('torch', 'transformers', 'sklearn', 'trl', 'peft', 'datasets') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
