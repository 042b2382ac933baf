"""A run whose engine refuses: which key to change is said, no resume is offered that cannot help, and the name is free again."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synthgen.cli import dispatch
from synthgen.errors import EngineGoneError, EngineRefusesError
from synthgen.ledger import Reader
from synthgen.records import Completion, Request
from synthgen.run.refusal import cure, refused

RUN = ["run", "experiment=smoke", "engine.delay=0", "student=none", "run.dir=out", "budget.target=6"]
TOO_LONG = (
    "http://h/v1 answered 400: This model's maximum context length is 400 tokens. However, your messages resulted in 900 "
    "tokens. Please reduce the length of the messages."
)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`refusing("words", when)`: the replay engine refuses the requests of which `when` is true."""
    from synthgen.engines.fake.replay import ReplayEngine
    from synthgen.errors import FatalRequestError

    answer = ReplayEngine.complete

    def refuse(words: str, when: Callable[[Request], bool] = lambda _: True) -> None:
        async def complete(self: Any, request: Request) -> Completion:
            if when(request):
                raise FatalRequestError(words)
            return await answer(self, request)

        monkeypatch.setattr(ReplayEngine, "complete", complete)

    return refuse


@pytest.mark.slow
def test_a_run_that_was_refused_everything_offers_no_resume_and_frees_its_name(
    refusing: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    refusing("http://h/v1 answered 400: Unrecognized request argument supplied: min_p")
    assert dispatch(RUN) == 4
    captured = capsys.readouterr()
    assert "synthgen resume" not in captured.out + captured.err
    assert captured.err.splitlines()[-1] == "set generate.min_p=0"
    assert captured.out.splitlines()[-1].startswith(
        "nothing was generated: change what is named above, and start the run again"
    )
    assert dispatch(["status", "out"]) == 0
    assert "synthgen resume" not in capsys.readouterr().out


@pytest.mark.slow
def test_the_name_of_a_run_without_answers_can_be_used_again(
    refusing: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing("refused: no such grammar")
    assert dispatch(RUN) == 4
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert dispatch(RUN) == 0
    with Reader(Path("out/ledger.sqlite")) as reader:
        assert reader.one("SELECT COUNT(*) FROM samples WHERE origin = 'synthetic'") == 6
    assert dispatch(RUN) == 2  # now it has samples, and keeps its name


@pytest.mark.slow
def test_a_refusal_after_answers_leads_to_a_fork_that_may_change_the_key(
    refusing: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    refusing("http://h/v1 answered 404: no such model", lambda request: int(request.id.split("/")[0].split(".")[0]) > 3)
    assert dispatch([*RUN, "judge=none", "budget.target=50"]) == 4
    captured = capsys.readouterr()
    assert "engine.model" in captured.err.splitlines()[-1]
    assert captured.err.splitlines()[-1].endswith("in a new folder")
    assert captured.out.splitlines()[-1] == "synthgen resume out --fork out-2"
    refusing("", lambda _: False)
    assert dispatch(["resume", "out", "--fork", "out-2", "generate.temperature=0.7"]) == 0


@pytest.mark.slow
def test_a_run_whose_key_was_refused_midway_continues_as_it_is(
    refusing: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    refusing("http://h/v1 answered 401: bad key", lambda request: int(request.id.split("/")[0].split(".")[0]) > 3)
    assert dispatch([*RUN, "judge=none", "budget.target=50"]) == 4
    assert capsys.readouterr().out.splitlines()[-1] == "synthgen resume out"


@pytest.mark.slow
def test_a_generator_prompt_that_is_too_long_is_a_reason_of_its_own(
    refusing: Callable[..., None],
) -> None:
    refusing(TOO_LONG, lambda request: request.id in ("1/generate", "2/generate"))
    assert dispatch([*RUN, "judge=none"]) == 0
    assert json.loads(Path("out/summary.json").read_text())["counts"]["rejected"]["too_long"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["label", "rubric"])
def test_a_judges_prompt_that_is_too_long_is_not_unscored(kind: str, refusing: Callable[..., None]) -> None:
    refusing(TOO_LONG, lambda request: request.id.startswith("1.0/") and kind in request.id)
    assert dispatch([*RUN, "labels.enabled=false"]) == 0
    rejected = json.loads(Path("out/summary.json").read_text())["counts"]["rejected"]
    assert rejected["too_long"] == 1
    assert "unscored" not in rejected


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (TOO_LONG, "model.max_len"),
        ("h answered 401: invalid key", "engine.api_key_env"),
        ("h answered 404: The model `x` does not exist.", "engine.model"),
        ("h answered 400: Unsupported value: 'temperature'", "generate.temperature"),
        ("h answered 400: response_format is not supported", "engine.dialect"),
        ("h answered 400: what?", "generate.*"),
    ],
)
def test_a_refusal_names_the_key_to_change(words: str, key: str) -> None:
    assert key in cure(words)


def test_an_endpoint_that_is_away_does_not_refuse() -> None:
    assert refused(EngineRefusesError("64 requests in a row were refused"))
    assert refused(EngineGoneError("no endpoint answers: http://h/v1 answered 401: no"))
    assert not refused(EngineGoneError("no endpoint answers: http://h/v1: Cannot connect: refused"))
    assert not refused(EngineGoneError("no endpoint answers: http://h/v1 answered 503: busy"))
    assert not refused(
        EngineGoneError("no endpoint answers: http://h/v1: no answer from http://h/v1 in time"), empty=True
    )


@pytest.mark.parametrize(
    "words",
    [
        "no endpoint answers: http://h/v1: the endpoint ignores the grammar (it answered 'Hello' to a request with a choice)",
        "no endpoint answers: http://h/v1: answers come without logprobs, or with NaN, although they were requested",
        "no endpoint answers: http://h/v1: another model answers ('a', not 'b'); set engine.model",
    ],
)
def test_an_unfit_server_refuses_a_new_run_but_a_run_that_has_begun_waits_for_its_repair(words: str) -> None:
    assert refused(EngineGoneError(words), empty=True)
    assert not refused(EngineGoneError(words))
