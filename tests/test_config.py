"""Every shipped YAML composes into checked dataclasses, and a wrong key or value is named."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from synthgen.cli import dispatch
from synthgen.config import Config, build, explained, from_saved, register, to_json, to_yaml
from synthgen.engines.kinds import ENGINES
from synthgen.errors import ConfigError
from synthgen.tasks.assets import root

CONF = root() / "conf"
# The chains of `synthgen prepare` are no part of a run's config; tests/prepare/test_preparing.py loads each of them.
GROUPS = sorted(path for path in CONF.rglob("*.yaml") if path.parent not in (CONF, CONF / "prepare"))
# What a file needs beside it to be a whole config: values that only a user can know.
NEEDED = {
    "engine/openai": ["engine.urls=[http://127.0.0.1:1/v1]", "engine.model=m"],
    "engine/openai_batch": ["engine.urls=[http://127.0.0.1:1/v1]", "engine.model=m"],
    "model/hub": ["model.name=org/name"],
}


def composed(*overrides: str) -> Config:
    register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        try:
            return build(compose("config", list(overrides)))
        except ConfigError:
            raise
        except Exception as error:
            raise explained(error) from error


def test_there_are_configs_in_every_group() -> None:
    groups = {path.parent.name for path in GROUPS}
    named = "task model engine generate filters diversity judge labels pool budget select student tracking experiment"
    assert groups == set(named.split())


@pytest.mark.slow
@pytest.mark.parametrize("path", GROUPS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_shipped_config_composes_and_builds(path: Path) -> None:
    group, option = path.parent.name, path.stem
    name = f"{'+' if group == 'experiment' else ''}{group}={option}"
    config = composed(name.lstrip("+"), *NEEDED.get(f"{group}/{option}", []))
    assert type(config.engine) is ENGINES[config.engine.kind]
    assert config.run.dir == f"runs/{config.run.name}"


@pytest.mark.parametrize("engine", ["openai", "openai_batch"])
def test_an_endpoints_window_is_not_that_of_the_bundled_model(engine: str) -> None:
    words = [f"engine={engine}", "engine.model=m", "engine.urls=[http://127.0.0.1:9/v1]"]
    assert composed(*words).model.max_len is None
    assert composed(*words, "model.max_len=512").model.max_len == 512
    assert composed("engine=vllm").model.max_len == 2048


def test_the_default_run_is_named_after_the_task_and_the_time() -> None:
    assert composed("task=voice_intent").run.name.startswith("voice_intent-20")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("budget.targett=3", "budget.targett: there is no such key; did you mean budget.target?"),
        ("budget.target=many", "budget.target: 'many' is not a whole number"),
        ("budget.target=0", "budget.target: must be above 0, got 0"),
        ("generate.temperature=9", "generate.temperature: must be from 0 to 5, got 9.0"),
        ("judge.label.min_ratio=2", "judge.label.min_ratio: must be from 0 to 1, got 2.0"),
        ("diversity.threshold=0", "diversity.threshold: must be above 0 and at most 1, got 0.0"),
        ("engine.timeout=-1", "engine.timeout: must be above 0 seconds, got -1.0"),
        ("engine.urls=[http://h/v1]", "engine.urls: the chosen engine has no such key; engine=openai and engine=openai_batch have it"),
        ("engine=vlm", "engine: there is no option 'vlm'; the options are openai, openai_batch, ray, replay, transformers, vllm, vllm_inprocess; did you mean vllm?"),
        ("+engine.env.HF_TOKEN=abc", "engine.env.HF_TOKEN: a secret does not belong in the config"),
        ("+task.schema._target_=os.system", "task.schema._target_: a config must not name code to run"),
        ("pool.seed_floor=2", "pool.seed_floor: must be from 0 to 1, got 2.0"),
        ("+_target_=os.system", "_target_: a config must not name code to run"),
    ],
)  # fmt: skip
def test_a_wrong_override_is_named_with_its_cure(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        composed(override)
    assert message in str(caught.value)


def test_any_vllm_flag_can_be_added() -> None:
    assert composed("+engine.flags.max-num-seqs=8").engine.flags == {"max-num-seqs": 8}


def test_a_saved_config_comes_back_as_it_was_with_budgets_raised() -> None:
    config = composed("experiment=smoke", "engine.jitter=0.5")
    again = from_saved(to_json(config), ["budget.target=75"])
    assert again.budget.target == 75
    again.budget.target = config.budget.target
    assert again == config
    assert "jitter: 0.5" in to_yaml(to_json(config))


def test_a_wrong_budget_on_resume_is_named() -> None:
    saved = to_json(composed("experiment=smoke"))
    with pytest.raises(ConfigError, match=r"budget\.tarket: there is no such key; did you mean budget\.target\?"):
        from_saved(saved, ["budget.tarket=3"])


def test_a_groups_option_by_name_takes_the_place_of_what_was_saved_of_the_group() -> None:
    saved = to_json(composed("experiment=smoke", "student.bootstrap=500"))
    again = from_saved(saved, ["student.label_rows=0.5", "student=frozen", "judge=none", "budget.target=75"])
    assert again == composed(
        "experiment=smoke", "student=frozen", "student.label_rows=0.5", "judge=none", "budget.target=75",
    )  # fmt: skip


def test_another_engine_is_chosen_by_name_with_its_own_settings() -> None:
    saved = to_json(composed("experiment=smoke"))
    again = from_saved(saved, ["engine=openai", "engine.urls=[http://127.0.0.1:1/v1]", "engine.model=m"])
    assert type(again.engine) is ENGINES["openai"]


def test_a_saved_config_reads_values_as_a_new_one_does() -> None:
    again = from_saved(
        to_json(composed("experiment=smoke")), ["run.name=a: b", "run.dir=out (é)", "filters.leaks=['x, y']"]
    )
    assert (again.run.name, again.run.dir, again.filters.leaks) == ("a: b", "out (é)", ["x, y"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "student=frozn",
            "student: there is no option 'frozn'; the options are auto, frozen, none; did you mean frozen?",
        ),
        ("run=3", "run: this group has no named options; set one of its keys, such as run.name=VALUE"),
        ("experiment=demo", "experiment: composes a new run; here set what it would change, such as"),
    ],
)
def test_an_option_that_a_saved_config_cannot_take_is_named_with_its_cure(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_saved(to_json(composed("experiment=smoke")), [override])
    assert message in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    "setting",
    [
        "judge.channel.enabled=true",
        "generate.steer.share=0.5",
        "diversity.min_worth=0.2",
        "diversity.lexical.enabled=true",
    ],
)
def test_a_key_that_is_gone_is_refused_and_left_out_of_what_was_saved(setting: str) -> None:
    with pytest.raises(ConfigError, match=r"this key was removed.*; leave it out"):
        composed(setting)
    saved = to_json(composed("experiment=smoke"))
    *groups, key = setting.partition("=")[0].split(".")
    part = saved
    for group in groups:
        part = part.setdefault(group, {})
    part[key] = True
    assert from_saved(saved, []) == composed("experiment=smoke")


@pytest.mark.slow
@pytest.mark.parametrize(
    "setting",
    [
        "budget.minutes=nan",
        "engine.delay=nan",
        "pool.novelty_power=inf",
        "budget.grace=-inf",
        "select.quality_power=nan",
    ],
)
def test_a_number_that_is_not_finite_is_refused_by_its_key(setting: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["validate", "experiment=smoke", setting]) == 2
    assert f"{setting.partition('=')[0]}: " in capsys.readouterr().err
