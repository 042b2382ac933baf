"""Whole runs from the command line against a server with the habits of real ones.

The table in docs/endpoints.md is held to the cases here.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from synthgen.cli import dispatch
from synthgen.engines.fake.habits import HABITS
from synthgen.ledger import Reader
from synthgen.run import doctor
from synthgen.tasks.assets import root

if TYPE_CHECKING:
    from tests.llm.conftest import StartServer

Run = Callable[..., int]


class Case(NamedTuple):
    """Hold what a server does (the first of the habits), and what a run then does, as the docs say it and as it is printed."""

    habits: tuple[str, ...]
    server: str
    does: str
    says: str = ""


NOT_VLLM = "unread=structured_outputs"
CASES = [
    Case(("known_keys", NOT_VLLM), "refuses keys that OpenAI's API does not know, such as `min_p` or `structured_outputs`",
         "leaves them out; the check on copies replaces `bad_words`", "min_p is left out; bad_words is left out"),
    Case((NOT_VLLM,), "ignores vLLM's `structured_outputs`",
         "sends JSON Schemas as `response_format`, and states the judge's choices in words",
         "JSON Schemas as response_format json_schema; choices in words"),
    Case(("max_completion_tokens",), "wants `max_completion_tokens`", "sends that", "max_completion_tokens; "),
    Case(("one_temperature",), "takes no temperature but 1", "sends none; the judge answers with the server's own",
         "temperatures are left out"),
    Case(("no_system",), "knows no system message", "puts its text before the first question",
         "system messages go ahead of the first question"),
    Case(("no_response_format", NOT_VLLM), "knows no grammar at all",
         "puts the schema into the prompt, reads answers tolerantly, and asks once more where there is no JSON",
         "no JSON Schemas: the schema in the prompt"),
    Case(("strict_schemas", NOT_VLLM), "takes only strict schemas, in which every property is required",
         "sends a strict schema, in which optional fields may be null, and removes the nulls from the answers", "JSON Schemas as strict"),
    Case(("json_object", NOT_VLLM), "knows `response_format: json_object` alone",
         "sends the schema with it (llama-cpp-python reads that) or in the prompt", "response_format json_object"),
    Case(("few_logprobs=3",), "gives fewer logprobs than were asked for", "asks for as many as it gives",
         "3 logprobs a token"),
    Case(("no_logprobs",), "gives no logprobs", "counts the judge's answers, one or `judge.votes`, which is coarser",
         "no logprobs: the judge counts answers"),
    Case(("null_usage",), "writes null for token counts", "counts 0"),
    Case(("alias=other-name",), "answers under another model name", "takes the name it answers under at the start",
         "answers as other-name"),
    Case(("thinks",), "writes `<think> ... </think>` before its answer, whatever it is told",
         "reads what comes after it, and leaves room for the judge's thinking too",
         "always thinks, in the judge's questions too"),
    Case(("thinks_in=reasoning_content", "obeys_enable_thinking"),
         "thinks in the field `reasoning_content` or `reasoning`",
         "reads the answer alone; asks the judge with `enable_thinking: false`",
         "thinks unless told not to (chat_template_kwargs), as the judge's questions do"),
    Case(("obeys_enable_thinking", NOT_VLLM), "thinks unless `chat_template_kwargs` has `enable_thinking: false`",
         "asks the judge with that", "thinks unless told not to (chat_template_kwargs)"),
    Case(("obeys_effort", "known_keys", "thinks_in=reasoning", NOT_VLLM), "thinks unless `reasoning_effort` is `none`",
         "asks the judge with that", "thinks unless told not to (reasoning_effort none)"),
    Case(("one_effort=low", "thinks_hidden", "max_completion_tokens", "known_keys", NOT_VLLM),
         "always thinks, hides it, and takes no `reasoning_effort` below `low`",
         "asks the judge with `low`, and leaves room for the thinking", "(asked for little with reasoning_effort low)"),
    Case(("thinks_long=300", "thinks_in=reasoning"), "thinks for more tokens than the answer may have",
         "adds `model.thinking_tokens` to the token limit", "always thinks"),
    Case(("fence", "no_response_format", NOT_VLLM), "writes a code fence around JSON", "reads what is in it"),
    Case(("chatty", "trailing_comma", "no_response_format", NOT_VLLM),
         "writes sentences around JSON, and a comma after its last field", "reads the JSON alone"),
    Case(("python", "no_response_format", NOT_VLLM), "writes JSON with the quotes, keys and literals of other languages",
         "repairs it, if the repair only changes punctuation"),
    Case(("spaced", "capitals"), "writes judge tokens as ` Business`",
         "matches them without white space and case"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(stand_in: "StartServer") -> Run:
    """`run("busy=4", target=20, settings=[...], delay=0.05)`: a run against a server with these habits; its exit code."""

    def start(*habits: str, target: int = 4, settings: list[str] | None = None, **flags: Any) -> int:
        server = stand_in(habit=list(habits), **flags)
        return dispatch(
            [
                "run", "experiment=smoke", "run.dir=out", f"budget.target={target}", "engine=openai",
                f"engine.urls=[{server.url}]", "engine.model=m", "engine.patience=5", *(settings or []),
            ]
        )  # fmt: skip

    return start


def query(sql: str) -> list[tuple[Any, ...]]:
    with Reader(Path("out/ledger.sqlite")) as reader:
        return list(reader.rows(sql))


def accepted() -> int:
    return int(query("SELECT COUNT(*) FROM samples WHERE origin = 'synthetic'")[0][0])


def rejected() -> dict[str, int]:
    return dict(query("SELECT reason, COUNT(*) FROM candidates WHERE outcome = 'rejected' GROUP BY reason"))


def requests() -> tuple[int, int]:
    """Count the requests that were answered, and those refused for load."""
    ((answered,),) = query("SELECT COUNT(*) FROM requests WHERE state = 'answered'")
    ((refused,),) = query("SELECT COUNT(*) FROM requests WHERE error LIKE 'BusyError%'")
    return answered, refused


def mean_at_once() -> float:
    """Return how many requests were under way on the mean, while there were some."""
    spans = query("SELECT sent_at, sent_at + seconds, seconds FROM requests WHERE state = 'answered'")
    first, last = min(span[0] for span in spans), max(span[1] for span in spans)
    return float(sum(span[2] for span in spans) / (last - first))


def events(kind: str) -> list[dict[str, Any]]:
    lines = map(json.loads, Path("out/events.jsonl").read_text().splitlines())
    return [event for event in lines if event["kind"] == kind]


# -- what a server understands ---------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.habits[0])
def test_a_run_works_with_the_habit_of_the_server(case: Case, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*case.habits) == 0
    assert accepted() == 4
    assert case.says in " ".join(capsys.readouterr().out.split())
    assert not {"schema", "unparsable", "unscored"} & rejected().keys()
    assert query("SELECT COUNT(*) FROM slots WHERE state = 'failed'") == [(0,)]
    ((engine,),) = query("SELECT value FROM meta WHERE key = 'engine'")
    assert case.says in next(iter(json.loads(engine)["speaks"].values()))


def test_the_docs_have_every_habit_and_what_is_done_about_it() -> None:
    page = (root() / "docs/endpoints.md").read_text()
    for case in CASES:
        assert f"| {case.server} | {case.does} |" in page
    documented = {habit.split("=")[0] for case in CASES for habit in case.habits}
    elsewhere = {"busy", "retry_after", "quota", "refuses", "only_thinks", "window"}  # in tests of their own
    assert documented | elsewhere == HABITS.keys()


@pytest.mark.slow
def test_what_was_not_asked_is_learnt_from_the_first_refusal(run: Run) -> None:
    assert run("known_keys", settings=["engine.dialect.preset=vllm", "engine.in_flight=8"]) == 0
    lessons = [event["why"] for event in events("endpoint_dialect")]
    assert sum("refuses min_p" in words for words in lessons) == 1
    assert query("SELECT COUNT(*) FROM slots WHERE state = 'failed'") == [(0,)]


@pytest.mark.slow
def test_a_preset_that_the_server_does_not_keep_to_names_the_key_and_offers_no_resume(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(NOT_VLLM, settings=["engine.dialect.preset=vllm"]) == 4
    said = capsys.readouterr()
    assert "unset engine.dialect.schema, engine.dialect.choice and engine.dialect.preset" in said.err
    assert said.out.rstrip().endswith("start the run again; out is free")


@pytest.mark.slow
def test_a_key_of_the_dialect_overrules_what_would_be_found(run: Run) -> None:
    assert run(settings=["engine.dialect.schema=none", "engine.dialect.min_p=false"]) == 0
    ((engine,),) = query("SELECT value FROM meta WHERE key = 'engine'")
    (dialect,) = json.loads(engine)["dialects"].values()
    assert (dialect["schema"], dialect["min_p"], dialect["choice"]) == ("none", False, "structured_outputs")


# -- answers without a sample ----------------------------------------------------------------------


@pytest.mark.slow
def test_answers_that_decline_are_rejected_as_refused(run: Run) -> None:
    assert run("refuses=0.4", target=8) == 0
    assert rejected()["refused"] > 0
    assert "schema" not in rejected()


@pytest.mark.slow
def test_thinking_without_an_answer_is_rejected_as_that(run: Run) -> None:
    assert run("only_thinks", settings=["budget.candidates=6", "budget.window=6"]) == 3
    assert rejected() == {"thinking_only": 6}


@pytest.mark.slow
def test_a_run_whose_model_only_thinks_ends_early_with_the_key_to_change(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("only_thinks") == 3
    assert rejected() == {"thinking_only": 32}
    said = "".join(capsys.readouterr())
    assert "the model only thinks" in said
    assert "model.thinking_tokens=" in said


def thoughts(kind: str) -> tuple[int, int]:
    """Count the answers to requests of one kind, and those with thinking in the ledger."""
    sql = "SELECT COUNT(*), COUNT(thinking) FROM requests WHERE state = 'answered' AND kind = ?"
    return next(iter(Reader(Path("out/ledger.sqlite")).rows(sql, (kind,))))


@pytest.mark.slow
def test_the_generator_thinks_where_the_config_says_so_and_the_judge_does_not(run: Run) -> None:
    habits = ("thinks_in=reasoning", "obeys_enable_thinking")
    assert run(*habits, settings=["model.thinking=on", "model.keep_thinking=true"]) == 0
    answered, with_thinking = thoughts("generate")
    assert answered == with_thinking > 0
    asked, thought = thoughts("label")
    assert (asked > 0, thought) == (True, 0)
    assert all("thinking" not in json.loads(data) for (data,) in query("SELECT data FROM samples"))


@pytest.mark.slow
def test_thinking_is_switched_off_and_kept_nowhere_unless_it_is_asked_for(run: Run) -> None:
    assert run("thinks_in=reasoning", "obeys_effort", settings=["model.thinking=off", "model.keep_thinking=true"]) == 0
    assert thoughts("generate")[1] == 0
    assert run("thinks_in=reasoning", settings=["run.dir=again"]) == 0
    with Reader(Path("again/ledger.sqlite")) as reader:
        assert reader.one("SELECT COUNT(thinking) FROM requests") == 0


@pytest.mark.slow
def test_thinking_that_uses_up_the_token_limit_names_the_key_to_raise(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("thinks_long=300", settings=["model.thinking_tokens=32", "budget.candidates=6"]) == 3
    assert rejected() == {"thinking_only": 6}
    said = capsys.readouterr().out
    assert "6 candidates ended in thinking without an answer: raise model.thinking_tokens" in said
    assert said.rstrip().endswith("budget.candidates=12 model.thinking_tokens=64")


@pytest.mark.slow
def test_a_judge_that_only_thinks_names_the_key_to_raise(run: Run) -> None:
    settings = ["model.thinking_tokens=280", "budget.candidates=4", "budget.window=4"]
    assert run("thinks_long=290", settings=settings) == 3
    assert set(rejected()) == {"thinking_only"}
    assert query('SELECT DISTINCT "check" FROM candidates') == [("label",)]


@pytest.mark.slow
def test_a_run_that_ran_out_of_tokens_for_thinking_continues_with_more(stand_in: "StartServer") -> None:
    server = stand_in(habit=["thinks_long=300"])
    words = ["run", "experiment=smoke", "run.dir=out", "engine=openai", "engine.model=m", f"engine.urls=[{server.url}]"]
    stops = ["budget.target=4", "budget.window=6", "model.thinking_tokens=32"]
    assert dispatch([*words, *stops]) == 3
    assert dispatch(["resume", "out", "budget.min_acceptance=0", "model.thinking_tokens=512"]) == 0
    assert accepted() == 4


@pytest.mark.slow
def test_an_answer_without_json_is_asked_for_once_more_and_both_are_in_the_ledger(
    stand_in: "StartServer",
) -> None:
    server = stand_in({"kind": "no_grammar", "share": 0.3, "value": "Well, let me think.", "after": 12})
    words = ["run", "experiment=smoke", "run.dir=out", "budget.target=8", "engine=openai", "engine.model=m"]
    assert dispatch([*words, f"engine.urls=[{server.url}]", "judge=none"]) == 0
    repaired = query("SELECT COUNT(*) FROM requests WHERE id LIKE '%/generate/repair'")[0][0]
    unreadable = query("SELECT COUNT(*) FROM requests WHERE id LIKE '%/generate' AND finish_reason = 'unparsable'")
    assert repaired == unreadable[0][0] > 0
    assert rejected().get("unparsable", 0) < repaired


# -- busy servers ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_server_that_refuses_above_four_at_once_is_kept_at_four(run: Run) -> None:
    assert run("busy=4", target=20, delay=0.05, settings=["engine.in_flight=32"]) == 0
    answered, refused = requests()
    assert accepted() == 20
    assert refused < 0.1 * (answered + refused)
    assert events("endpoint_down") == []
    assert query("SELECT COUNT(*) FROM slots WHERE state = 'failed'") == [(0,)]


@pytest.mark.slow
def test_a_busy_server_is_kept_busy(run: Run) -> None:
    assert run("busy=4", target=60, delay=0.05) == 0
    answered, refused = requests()
    assert refused < 0.05 * (answered + refused)
    assert mean_at_once() >= 0.8 * 4


@pytest.mark.slow
def test_a_server_that_says_when_to_come_back_is_left_alone_until_then(run: Run) -> None:
    assert run("busy=2", "retry_after=0.3", delay=0.02) == 0
    answered, refused = requests()
    assert refused < 0.2 * (answered + refused)
    assert events("endpoint_down") == []


@pytest.mark.slow
def test_a_quota_in_the_headers_is_kept_to(run: Run) -> None:
    assert run("quota=20", target=12) == 0
    answered, refused = requests()
    assert answered > 40
    assert refused < 0.2 * answered  # those that were under way when nothing was left
    assert events("endpoint_down") == []


@pytest.mark.slow
def test_requests_a_minute_are_kept_to(run: Run) -> None:
    assert run(settings=["engine.requests_per_minute=600", "judge=none"]) == 0
    sent = [at for (at,) in query("SELECT sent_at + 0 FROM requests ORDER BY sent_at")]
    ((answered,),) = query("SELECT MAX(sent_at + seconds) FROM requests")
    assert len(sent) <= 12 + 10 * (answered - sent[0])


# -- addresses, keys, headers, proxies -------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("127.0.0.1:8000/v1", "does not say how to connect; write http://127.0.0.1:8000/v1"),
        ("http://127.0.0.1:99999/v1", "ports go from 1 to 65535"),
        ("ftp://127.0.0.1/v1", "only http:// and https:// are supported"),
        ("''", "an address is empty"),
    ],
)
@pytest.mark.parametrize("verb", ["validate", "run"])
def test_an_address_that_is_none_is_exit_code_2_and_leaves_no_folder(
    verb: str, url: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = dispatch(
        [
            verb,
            "experiment=smoke",
            "run.dir=out",
            "engine=openai",
            "engine.model=m",
            f'engine.urls=["{url}"]'.replace("\"''\"", '""'),
        ]
    )
    assert code == 2
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said
    assert not Path("out").exists()


@pytest.mark.slow
def test_a_key_with_a_carriage_return_at_its_end_is_the_key(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "of-the-test-1234\r")
    assert run(env={"VLLM_API_KEY": "of-the-test-1234"}) == 0


def test_a_key_that_no_header_can_carry_is_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "one-of-two-keys\nother-of-two-keys")
    words = ["validate", "experiment=smoke", "engine=openai", "engine.model=m", "engine.urls=[http://127.0.0.1:9/v1]"]
    assert dispatch(words) == 2
    said = capsys.readouterr().err
    assert "engine.api_key_env: the value of OPENAI_API_KEY has a line break" in said
    assert "two-keys" not in said


@pytest.mark.slow
def test_a_header_takes_its_secret_from_the_environment_and_no_file_has_it(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_KEY", "of-the-gateway-1234")
    header = '+engine.headers={Authorization: "Bearer ${oc.env:GATEWAY_KEY}", X-Title: demo}'
    assert run(env={"VLLM_API_KEY": "of-the-gateway-1234"}, settings=[header]) == 0
    assert "${oc.env:GATEWAY_KEY}" in Path("out/config.yaml").read_text()
    assert all(b"of-the-gateway" not in file.read_bytes() for file in Path("out").rglob("*") if file.is_file())
    assert dispatch(["resume", "out", "budget.target=5"]) == 0
    monkeypatch.delenv("GATEWAY_KEY")
    assert dispatch(["export", "out"]) == 0
    assert dispatch(["resume", "out", "budget.target=6"]) == 2


def test_a_secret_written_into_a_header_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["validate", "experiment=smoke", "engine=openai", "engine.model=m", "engine.urls=[http://127.0.0.1:9/v1]"]
    assert dispatch([*words, "+engine.headers={X-Api-Key: of-the-gateway-1234}"]) == 2
    said = capsys.readouterr().err
    assert "a secret does not belong in the config" in said
    assert "of-the-gateway" not in said


@pytest.mark.parametrize(
    "words",
    [
        ["engine.headers={X-Team: a}", "engine.extra_body={top_k: 5}"],
        ["engine.headers.X-Team=a", "engine.extra_body.top_k=5"],
        ["+engine.headers={X-Team: a}", "++engine.extra_body.top_k=5"],
    ],
)
def test_new_entries_of_a_mapping_need_no_plus_sign(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    own = ["experiment=smoke", "engine=openai", "engine.model=m", "engine.urls=[http://127.0.0.1:9/v1]"]
    assert dispatch(["run", "--cfg", "job", "--package", "engine", *own, *words]) == 0
    said = capsys.readouterr().out
    assert "headers:\n  X-Team: a\n" in said
    assert "extra_body:\n  top_k: 5\n" in said


def test_mappings_of_every_group_take_new_entries(capsys: pytest.CaptureFixture[str]) -> None:
    own = ["experiment=smoke", "engine=vllm", "engine.flags.max-num-seqs=8", "task.labels.sport=matches alone"]
    assert dispatch(["run", "--cfg", "job", *own]) == 0
    said = capsys.readouterr().out
    assert "max-num-seqs: 8\n" in said
    assert "sport: matches alone\n" in said


def test_an_unknown_key_beside_a_mapping_is_still_refused(capsys: pytest.CaptureFixture[str]) -> None:
    own = ["experiment=smoke", "engine=openai", "engine.model=m", "engine.urls=[http://127.0.0.1:9/v1]"]
    assert dispatch(["validate", *own, "engine.header.X-Team=a"]) == 2
    assert "engine.header.X-Team: there is no such key" in capsys.readouterr().err
    assert dispatch(["validate", "experiment=smoke", "engine.headers.X-Team=a"]) == 2
    assert "engine.headers: the chosen engine has no such key; engine=openai" in capsys.readouterr().err


@pytest.mark.slow
def test_extra_keys_go_with_every_request_of_a_run(run: Run) -> None:
    assert run("known_keys", settings=["+engine.extra_body={reasoning_effort: low}"]) == 0
    assert run("known_keys", settings=["+engine.extra_body={no_such_key: 1}", "run.dir=again"]) == 4


@pytest.mark.slow
def test_a_proxy_is_asked_only_where_the_config_says_so(
    stand_in: "StartServer", monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    proxy = stand_in().url.removesuffix("/v1")  # it answers whatever host was meant
    monkeypatch.setenv("HTTP_PROXY", proxy)
    monkeypatch.setenv("http_proxy", proxy)
    words = [
        "run", "experiment=smoke", "budget.target=3", "engine=openai", "engine.model=m", "engine.patience=0.5",
        "engine.urls=[http://models.invalid/v1]",
    ]  # fmt: skip
    assert dispatch([*words, "run.dir=without"]) == 4
    assert dispatch([*words, "run.dir=trusting", "engine.proxy=env"]) == 0
    assert dispatch([*words, "run.dir=named", f"engine.proxy={proxy}"]) == 0


# -- what a person is told -------------------------------------------------------------------------


@pytest.mark.slow
def test_preview_shows_what_the_endpoints_speak(stand_in: "StartServer", capsys: pytest.CaptureFixture[str]) -> None:
    server = stand_in(habit=["no_system"])
    words = ["preview", "experiment=smoke", "budget.candidates=4", "engine=openai", "engine.model=m"]
    assert dispatch([*words, f"engine.urls=[{server.url}]"]) == 0
    said = capsys.readouterr().out
    assert f"{server.url}: max_tokens; JSON Schemas as structured_outputs" in said.split("── first prompt")[0]


def test_the_doctor_asks_an_endpoint_what_it_speaks(stand_in: "StartServer", unused_tcp_port: int) -> None:
    server = stand_in(habit=["no_logprobs", "max_completion_tokens"], model="small")
    found = doctor.endpoint(server.url)
    assert found[0].text == "small"
    assert [one.level for one in found] == ["ok"] * (len(found) - 1) + ["note"]
    assert "small: max_completion_tokens" in [one.text for one in found]
    refused = doctor.endpoint(server.url, "large")
    assert (refused[-1].level, "does not exist" in refused[-1].text) == ("lack", True)
    assert doctor.endpoint(f"http://127.0.0.1:{unused_tcp_port}/v1", "m")[-1].level == "lack"


@pytest.mark.slow
def test_a_window_is_learnt_from_a_refusal_and_no_slot_is_lost(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("window=360", target=12, settings=["generate.max_tokens=64"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert printed.count("the engine's window is 360 tokens, as its refusal says") == 1
    assert query("SELECT value FROM meta WHERE key = 'window'") == [("360",)]
    assert "too_long" not in rejected()
    assert accepted() == 12
    again = query("SELECT state, COUNT(*) FROM requests WHERE kind = 'generate' AND attempt > 1 GROUP BY state")
    refused = query("SELECT COUNT(*) FROM requests WHERE kind = 'generate' AND state = 'failed'")
    assert again == [("answered", refused[0][0])]
    assert 0 < refused[0][0] < query("SELECT COUNT(*) FROM slots")[0][0]
    shown = query("SELECT c.parents, s.parents FROM candidates c JOIN slots s USING (slot)")
    assert shown and all(own == planned for own, planned in shown)
    dispatch(["resume", "out", "budget.target=16"])
    assert "as its refusal says" not in capsys.readouterr().out
    assert query("SELECT COUNT(*) FROM requests WHERE state = 'failed'") == refused


@pytest.mark.slow
def test_prompts_that_no_shortening_makes_fit_end_the_run_with_the_key_to_change(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("window=100", settings=["generate.max_tokens=64"]) == 4
    assert "lower generate.max_tokens" in capsys.readouterr().err
