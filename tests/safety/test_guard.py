"""Test what a config may not do, from the command line, from a folder of the user's own, and in a sweep."""

from pathlib import Path

import pytest

from synthgen.cli import dispatch
from synthgen.tasks.assets import root

RUN = ["run", "run.dir=out", "budget.target=3", "engine=replay", "diversity=hash", "student=none"]
HF = "hf_" + "aB1" * 10


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    base = [] if any(argument.startswith("experiment=") for argument in arguments) else ["experiment=smoke"]
    assert dispatch([*RUN, *base, *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert not Path("out").exists()
    return captured.err


def write(path: str, text: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)


@pytest.mark.parametrize(
    ("override", "where"),
    [
        ("engine.api_key=correct-horse", "engine.api_key: "),
        ("+engine.api_key=correct-horse", "engine.api_key: "),
        ("+engine.env.HF_TOKEN=correct-horse", "engine.env.HF_TOKEN: "),
        ("+engine.flags.api-key=correct-horse", "engine.flags.api-key: "),
        ("+engine.flags.hf_token=correct-horse", "engine.flags.hf_token: "),
        ("engine.env={DB_PASSWORD: correct-horse}", "engine.env: "),
        ("engine.env={DB_PASSWORD: correct-horse", "engine.env: "),  # a syntax error, which Hydra would quote
        ("+extra.headers={Authorization: correct-horse}", "extra.headers: "),
        ("engine.urls=[http://me:correct-horse@host/v1]", "engine.urls: "),
        ("engine.urls=['http://host/v1?api_key=correct-horse']", "engine.urls: "),
        (f"budget.target={HF}", "budget.target: "),  # a type error, which Hydra would quote
        (f"task.description='use {HF}'", "task.description: "),
        (HF, "override 7: "),
        ("run.name='-----BEGIN PRIVATE KEY----- correct-horse'", "run.name: "),
    ],
)  # fmt: skip
def test_a_secret_is_refused_and_not_repeated(override: str, where: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = refusal(capsys, override)
    assert said.startswith(f"synthgen: {where}")
    assert "secret" in said
    assert "environment" in said
    assert "correct-horse" not in said
    assert HF not in said


def test_a_secret_in_a_users_file_is_refused_too(capsys: pytest.CaptureFixture[str]) -> None:
    write("mine/experiment/keyed.yaml", "# @package _global_\nengine:\n  flags: {hf-token: correct-horse}\n")
    said = refusal(capsys, "engine=vllm", "experiment=keyed", "--config-dir", "mine")
    assert said.startswith("synthgen: engine.flags.hf-token: a secret does not belong in the config")
    assert "correct-horse" not in said


def test_an_environment_secret_that_the_config_pulls_in_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_TOKEN", "correct-horse")
    said = refusal(capsys, "task.description='ask ${oc.env:MY_TOKEN}'")
    assert said.startswith("synthgen: task.description: holds the value of the environment variable MY_TOKEN")
    assert "correct-horse" not in said


@pytest.mark.slow
def test_label_names_are_not_taken_for_secrets() -> None:
    words = "task.labels={business: 'a password, a token', sport: 'games', science: s, world: w}"
    assert dispatch([*RUN, "experiment=smoke", words, "+task.rubric.secret=It keeps a secret."]) == 0


@pytest.mark.parametrize(
    "override",
    ["hydra.launcher.n_jobs=2", "hydra/launcher=joblib,basic", "hydra/callbacks=x", "hydra.output_subdir=.hydra", "+hydra.callbacks.x._target_=synthgen.cli.main",
     "hydra.searchpath=[pkg://antigravity]", "hydra.job_logging.version=1", "hydra.job.chdir=true", "~hydra.callbacks",
     "+hydra.job.env_set.LD_PRELOAD=x", "hydra.sweep.dir=here", "+experiment@hydra.callbacks=smoke"],
)  # fmt: skip
def test_hydras_own_settings_are_not_the_users(override: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "Hydra's own settings can run code and write files" in refusal(capsys, override)


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "# @package _global_\nhydra:\n  callbacks:\n    evil: {_target_: pathlib.Path.touch, self: {_target_: pathlib.Path, _args_: [ran]}}\n",
        "# @package _global_\nhydra:\n  job_logging:\n    handlers: {evil: {(): pathlib.Path.touch}}\n",
        "# @package _global_\nhydra:\n  hydra_logging:\n    handlers: {evil: {class: logging.FileHandler, filename: ran}}\n",
        "# @package _global_\nhydra: {output_subdir: .hydra}\n",
        "# @package _global_\nhydra: {job: {env_set: {LD_PRELOAD: x}}}\n",
        "# @package _global_\nhydra: {sweeper: {params: {x: {_target_: os.getcwd}}}}\n",
        "# @package hydra.callbacks\nevil: {_target_: os.getcwd}\n",
    ],
)  # fmt: skip
@pytest.mark.parametrize("sweep", [["experiment=evil"], ["experiment=smoke,evil", "--multirun"]])
def test_no_config_file_can_change_hydras_own_settings(
    text: str, sweep: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    write("mine/experiment/evil.yaml", text)
    said = refusal(capsys, *sweep, "--config-dir", "mine")
    assert said.startswith("synthgen: hydra.")
    assert "so only synthgen may set them; remove it" in said
    assert not Path("ran").exists()
    assert sorted(path.name for path in Path().iterdir()) == ["mine"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["hydra/launcher=joblib"], "hydra/launcher: joblib is for a sweep; add --multirun"),
        (["-m", "hydra/launcher=mine"], "hydra/launcher: 'mine' may not be chosen; use one of joblib, submitit_local"),
        (["-m", "hydra/launcher=joblib", "hydra.launcher._target_=os.getcwd"], "hydra.launcher._target_: may not be set"),
        (["-m", "hydra/launcher=joblib", "hydra.launcher.temp_folder=/x"], "hydra.launcher.temp_folder: may not be set"),
        (["-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=${x:y}"], "hydra.launcher.n_jobs: '${x:y}' is no number"),
        (["-m", "hydra/launcher=submitit_slurm", "hydra.launcher.setup=[x]"], "hydra.launcher.setup: may not be set"),
        (["-m", "hydra/launcher=submitit_slurm", "hydra.launcher.partition=a b"], "'a b' is no number or plain name"),
        (["-m", "hydra/launcher=submitit_slurm", "+hydra.launcher.partition=a\nb"], "is no number or plain name"),
    ],
)  # fmt: skip
def test_the_command_line_may_choose_a_launcher_and_set_numbers_and_names_alone(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in refusal(capsys, *words)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("mine/hydra/launcher/joblib.yaml", "_target_: os.getcwd\n"),
        ("mine/experiment/evil.yaml", "# @package hydra.launcher\ntemp_folder: here\n"),
        ("mine/experiment/evil.yaml", "# @package hydra.launcher\n_target_: os.getcwd\n"),
        ("mine/experiment/evil.yaml", "# @package hydra.sweeper\nparams: {x: y}\n"),
    ],
)
def test_no_config_file_can_change_the_launcher_that_was_chosen(
    path: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(path, text)
    chosen = ["--multirun", "hydra/launcher=joblib", "hydra.launcher.n_jobs=1"]
    evil = ["experiment=smoke,evil"] if "evil" in path else ["experiment=smoke"]
    said = refusal(capsys, *chosen, *evil, "--config-dir", "mine")
    assert "so only synthgen may set them; remove it" in said
    assert sorted(path.name for path in Path().iterdir()) == ["mine"]


@pytest.mark.parametrize("flag", ["--config-name=mine", "-cp=.", "--experimental-rerun=job.pickle"])
def test_the_root_config_cannot_be_replaced(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "synthgen always uses its own root config" in refusal(capsys, flag)


def test_a_flag_is_not_known_by_its_beginning(capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no option '--config-p' here; did you mean '--config-path'?" in refusal(capsys, "--config-p=.")


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("type: object", "type: object\n  allOf: [{_target_: os.system}]", "task.schema.allOf.0._target_"),
        ("labels:", "labels:\n  _target_: os.system", "task.labels._target_"),
    ],
)
def test_code_named_in_a_task_file_is_refused(
    old: str, new: str, where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped = (root() / "conf" / "task" / "news_topic.yaml").read_text()
    write("mine/task/evil.yaml", shipped.replace(old, new))
    said = refusal(capsys, "task=evil", "--config-dir", "mine")
    assert said.startswith(f"synthgen: {where}: a config must not name code to run")


def test_a_file_that_is_no_yaml_is_named_with_the_place(capsys: pytest.CaptureFixture[str]) -> None:
    write("mine/experiment/torn.yaml", "# @package _global_\nbudget: {target: 1\n")
    assert f"{Path('mine/experiment/torn.yaml').absolute()}:3:1: " in refusal(
        capsys, "experiment=torn", "--config-dir", "mine"
    )


@pytest.mark.slow
def test_a_sweep_leaves_its_runs_and_nothing_beside_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["run", "--multirun", "experiment=smoke", "run.seed=1,2", "budget.target=3"]) == 0
    assert [path.name for path in Path().iterdir()] == ["runs"]
    assert not [path for path in Path().rglob("*") if path.name in ("overrides.yaml", "multirun.yaml", ".hydra")]


def test_hydras_own_flags_still_work(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["run", "-sc", "install=bash"]) == 0
    assert "complete" in capsys.readouterr().out
