"""The command line without Docker: what is printed for which answer, how every run ends, what the help says."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from dnslib import QTYPE, RCODE, RR, DNSHeader, DNSQuestion, DNSRecord

from lab.agent.protocol import Attempt, Query, Result
from lab.cli import asking, output
from lab.cli.app import app
from lab.cli.main import run
from lab.cli.output import duration, grid, milliseconds, plain
from lab.cli.time import parse_step
from lab.errors import BadInput, EnvironmentProblem
from lab.lab import Lab
from lab.runtime.answer import Answer
from lab.runtime.status import NodeStatus
from lab.topology.problems import DeclarationError, Problem

VERBS = sorted(command.name or command.callback.__name__ for command in app.registered_commands)  # type: ignore[union-attr]
NODES = {"10.53.0.193": "resolver-1", "10.53.0.194": "resolver-2"}
SOA = "example.com. 900 SOA ns1.example.com. hostmaster.example.com. 1 7200 900 1209600 900"


class Ended(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def consoles(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Consoles are made once a process, for its own streams; here each test has streams of its own."""
    for variable in ("NO_COLOR", "FORCE_COLOR", "DNSLAB_LAB", "DNSLAB_DEBUG"):
        monkeypatch.delenv(variable, raising=False)
    output.out.cache_clear()
    output.err.cache_clear()
    output.Wanted.reset()
    yield
    output.out.cache_clear()
    output.err.cache_clear()


@pytest.fixture
def dnslab(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    def call(*arguments: str) -> Ended:
        code = run(list(arguments))
        return Ended(code, *capsys.readouterr())

    return call


def answer(
    name: str,
    type: str = "A",
    *,
    found: Sequence[str] = (),
    authority: Sequence[str] = (),
    additional: Sequence[str] = (),
    rcode: str = "NOERROR",
    aa: bool = False,
    attempts: Sequence[Attempt] = (),
    outcome: str = "answer",
) -> Answer:
    message = DNSRecord(
        DNSHeader(qr=1, ra=1, aa=int(aa), rcode=getattr(RCODE, rcode)), q=DNSQuestion(name, getattr(QTYPE, type))
    )
    for section, add in ((found, message.add_answer), (authority, message.add_auth), (additional, message.add_ar)):
        add(*RR.fromZone("\n".join(section)) if section else ())
    tries = tuple(attempts) or (Attempt("10.53.0.193", "udp", 0.0, 0.0012, "answer", message.header.rcode),)
    last = tries[-1]
    wire = message.pack() if outcome == "answer" else b""
    latency = sum(attempt.latency for attempt in tries)
    result = Result(0, outcome, last.server, last.transport, latency, 0.0, wire, tries)  # type: ignore[arg-type]
    return Answer(Query(name, type, tuple(NODES)), result, "host", NODES[last.server])


def shown(given: Answer, capsys: pytest.CaptureFixture[str]) -> list[str]:
    asking.show(given, NODES)
    return capsys.readouterr().out.splitlines()


# What `query` prints.


def test_an_alias_is_shown_as_a_chain_and_its_records_are_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(
        answer(
            "www.enterprise.com.",
            found=[
                "www.enterprise.com. 3600 CNAME relay1.west-coast.enterprise.com.",
                "relay1.west-coast.enterprise.com. 60 A 198.51.100.10",
            ],
        ),
        capsys,
    )
    assert lines == [
        "www.enterprise.com → relay1.west-coast.enterprise.com",
        "Answer",
        "  www.enterprise.com                3600  CNAME  relay1.west-coast.enterprise.com.",
        "  relay1.west-coast.enterprise.com    60  A      198.51.100.10",
        "NOERROR, flags qr rd ra, from resolver-1 (10.53.0.193) over UDP in 1.20 ms, 84 octets",
    ]


def test_a_referral_says_whose_servers_and_what_is_glue(capsys: pytest.CaptureFixture[str]) -> None:
    given = answer("www.example.com.", authority=["com. 172800 NS a.gtld-servers.net."],
                   additional=["a.gtld-servers.net. 172800 A 10.53.0.14"])  # fmt: skip
    lines = shown(given, capsys)
    assert lines[0] == "Referral to the servers of com"
    assert lines[2] == "Glue"
    assert "exists" not in lines[-1]


@pytest.mark.parametrize(
    ("given", "note"),
    [
        (answer("nx.example.com.", rcode="NXDOMAIN", authority=[SOA]), "NXDOMAIN (there is no such name)"),
        (answer("www.example.com.", "MX", authority=[SOA]), "NOERROR (www.example.com exists, but has no MX)"),
        (answer("www.example.com."), "NOERROR (an empty answer)"),
        (answer("www.example.com.", rcode="SERVFAIL"), "SERVFAIL (the server could not find out)"),
        (answer("www.example.com.", rcode="REFUSED"), "REFUSED (the server does not answer for that name, or not to"),
        (
            answer("a.example.com.", rcode="NXDOMAIN", found=["a.example.com. 60 CNAME b.example.com."]),
            "NXDOMAIN (the alias leads to b.example.com, and there is no such name)",
        ),
        (
            answer("a.example.com.", "MX", found=["a.example.com. 60 CNAME b.example.com."]),
            "NOERROR (b.example.com exists, but has no MX)",
        ),
        (answer("www.example.com.", found=["www.example.com. 60 A 192.0.2.80"]), "NOERROR, flags"),
    ],
    ids=["nxdomain", "nodata", "empty", "servfail", "refused", "dangling alias", "alias without", "positive"],
)
def test_the_last_line_says_what_kind_of_nothing_it_is(
    given: Answer, note: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shown(given, capsys)[-1].startswith(note)


def test_the_way_to_an_answer_is_told_attempt_by_attempt(capsys: pytest.CaptureFixture[str]) -> None:
    attempts = [
        Attempt("10.53.0.193", "udp", 0.0, 5.0, "timeout"),
        Attempt("10.53.0.194", "udp", 5.0, 0.002, "truncated", 0),
        Attempt("10.53.0.194", "tcp", 5.0, 0.003, "answer", 0),
    ]
    lines = shown(answer("big.example.com.", "TXT", found=['big.example.com. 60 TXT "x"'], attempts=attempts), capsys)
    assert lines[-3:-1] == [
        "resolver-1 over UDP: no answer (5.00 s)",
        "resolver-2 over UDP: truncated, so asked again over TCP (2.00 ms)",
    ]
    assert "from resolver-2 (10.53.0.194) over TCP in 3.00 ms (5.00 s in all)" in lines[-1]


def test_no_answer_at_all_names_who_was_asked_last(capsys: pytest.CaptureFixture[str]) -> None:
    attempts = [Attempt(address, "udp", 0.0, 1.0, "timeout") for address in NODES]
    lines = shown(answer("www.example.com.", outcome="timeout", attempts=attempts), capsys)
    assert lines == [
        "resolver-1 over UDP: no answer (1.00 s)",
        "TIMEOUT: no answer from resolver-2 (10.53.0.194); given up after 2.00 s",
    ]


def test_names_and_data_that_look_like_markup_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    found = ["[red]x[/].example.com. 60 CNAME [bold].example.com.", '[bold].example.com. 60 TXT "[green]"']
    lines = shown(answer("[red]x[/].example.com.", "TXT", found=found), capsys)
    assert lines[0] == "[red]x[/].example.com → [bold].example.com"
    assert lines[3].split()[-1] == '"[green]"'


def test_repeated_questions_are_counted_and_measured(capsys: pytest.CaptureFixture[str]) -> None:
    good = answer("www.example.com.", found=["www.example.com. 60 A 192.0.2.80"])
    asking.show_all([good] * 24 + [answer("www.example.com.", rcode="SERVFAIL")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "   1  NOERROR  1.20 ms  resolver-1  192.0.2.80"
    assert lines[-2:] == ["  ... 5 more", "24 NOERROR, 1 SERVFAIL; latency min 1.20 ms, median 1.20 ms, max 1.20 ms"]


@pytest.mark.parametrize(
    ("typed", "asked"),
    [
        (("www.example.com", None), ("www.example.com", "A")),
        (("www.example.com", "mx"), ("www.example.com", "mx")),
        (("192.0.2.80", None), ("80.2.0.192.in-addr.arpa", "PTR")),
        (("192.0.2.80", "ptr"), ("80.2.0.192.in-addr.arpa", "PTR")),
        (("192.0.2.80", "A"), ("192.0.2.80", "A")),
        (("::1", None), ("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa", "PTR")),
        (("bücher.example", "mx"), ("xn--bcher-kva.example.", "mx")),
        (("straße.example", None), ("xn--strae-oqa.example.", "A")),
    ],
)
def test_what_is_asked_for_what_is_typed(typed: tuple[str, str | None], asked: tuple[str, str]) -> None:
    assert asking.question_of(*typed) == asked


# Numbers and lines.


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.00012, "0.12 ms"), (0.009996, "10.0 ms"), (0.0123, "12.3 ms"), (0.1, "100 ms"), (0.9994, "999 ms"),
     (0.9996, "1.00 s"), (2.5, "2.50 s"), (9.996, "10.0 s"), (75, "75.0 s")],
)  # fmt: skip
def test_a_latency_has_three_significant_digits(seconds: float, text: str) -> None:
    assert milliseconds(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (45.9, "45s"),
        (60, "1m"),
        (3661, "1h 1m"),
        (47 * 3600, "1d 23h"),
        (86400 + 5, "1d"),
        (200000, "2d 7h"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("+47h", timedelta(hours=47)),
        ("47h", timedelta(hours=47)),
        ("+1h30m", timedelta(minutes=90)),
        ("+1h1h", timedelta(hours=2)),
        ("+0.5d", timedelta(hours=12)),
        ("+90s", timedelta(seconds=90)),
    ],
)
def test_a_step_of_time(text: str, step: timedelta) -> None:
    assert parse_step(text) == step


@pytest.mark.parametrize("text", ["", "+", "+5", "h", "+1w", "soon", "+1h 2m", "+99999999999999d"])
def test_what_is_no_step_of_time_is_told(text: str) -> None:
    with pytest.raises(BadInput, match=r"write \+47h|more than any clock"):
        parse_step(text)


def test_a_step_back_is_told_how_to_go_back() -> None:
    with pytest.raises(BadInput, match="only goes forward, not -1h; `dnslab time reset`"):
        parse_step("-1h")


def test_a_grid_is_aligned_and_has_no_trailing_space() -> None:
    lines = [line.plain for line in grid([("a", "1", "x"), (("bbb", "bold"), "22", "")], right=[1], indent="  ")]
    assert lines == ["  a     1  x", "  bbb  22"]
    assert list(grid([])) == []


def test_control_characters_of_others_do_not_reach_the_terminal() -> None:
    assert plain("a\x1b[2Jb") == "a\N{REPLACEMENT CHARACTER}[2Jb"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("no_color", "escapes"), [("", True), ("1", False)])
def test_colour_is_for_terminals_and_no_color_is_honoured(
    no_color: str, escapes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", no_color)
    asking.show(answer("www.example.com.", found=["www.example.com. 60 A 192.0.2.80"]), NODES)
    assert ("\x1b[" in terminal.getvalue()) is escapes


def test_no_colour_and_no_folding_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    text = "x" * 250
    lines = shown(answer("t.example.com.", "TXT", found=[f't.example.com. 60 TXT "{text}"']), capsys)
    assert lines[1] == f'  t.example.com  60  TXT  "{text}"'


# `status` fits the terminal.


def _status(width: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    from lab.cli import life

    nodes = [
        NodeStatus(
            "root-a", "root", "knot", "3.2.6-1", "a.root-servers.net", "10.53.0.11", "fd53::11", "ok", 3600.0,
            2 << 20, (".", "root-servers.net", "0.53.10.in-addr.arpa"), "host",
        ),
        NodeStatus(
            "resolver-1", "resolver", "unbound", "1:1.17.1-2+deb12u3", "", "10.53.0.193", "fd53::193", "stopped", None,
            None, (), "lab",
        ),
    ]  # fmt: skip
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr("sys.stdout", Terminal())
    output.out.cache_clear()
    return [line.plain for line in life._table(nodes)]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
def test_status_fits_the_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert max(map(len, _status(width, monkeypatch))) <= width


def test_status_leaves_columns_out_where_there_is_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    wide, narrow = _status(200, monkeypatch), _status(80, monkeypatch)
    assert wide[0].split() == ["node", "role", "program", "name", "ipv4", "ipv6", "health", "up", "memory", "zones"]
    assert wide[1].split()[-3:] == ["MiB", ".", "root-servers.net"], "reverse zones are not shown"
    assert wide[2].split() == ["resolver-1", "resolver", "unbound", "1.17.1", "10.53.0.193", "fd53::193", "stopped"]
    assert {"node", "role", "program", "health", "zones"} <= set(narrow[0].split())
    assert "ipv6" not in narrow[0]


# How a run ends.


def attach_fails(error: BaseException) -> Callable[..., Lab]:
    def attach(_name: str | None = None) -> Lab:
        raise error

    return attach


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (EnvironmentProblem("no Docker"), 3, "no Docker"),
        (BadInput("no [red]such[/] lab"), 4, "no [red]such[/] lab"),
        (OSError(28, "No space left on device"), 3, "[Errno 28] No space left on device"),
        (KeyError("x"), 3, "KeyError: 'x'\nThis is a fault of dnslab."),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
    ids=["environment", "bad input", "system", "fault", "interrupted"],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_every_error_ends_as_a_sentence_with_its_exit_code(
    error: BaseException,
    code: int,
    said: str,
    as_json: bool,
    dnslab: Callable[..., Ended],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Lab, "attach", attach_fails(error))
    ended = dnslab("status", *(["--json"] if as_json else []))
    assert ended.code == code
    assert ended.err.startswith(f"dnslab: {said}")
    assert "Traceback" not in ended.err
    if as_json:
        told = json.loads(ended.out)
        assert told["exit_code"] == code
        assert told["error"].startswith(said)
    else:
        assert ended.out == ""


def test_debug_shows_the_trace(dnslab: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lab, "attach", attach_fails(BadInput("no such lab")))
    assert "Traceback" in dnslab("--debug", "status").err
    assert "Traceback" not in dnslab("status").err, "and only then"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bogus"], "No such command 'bogus'"),
        (["query"], "Missing argument 'NAME'. See `dnslab query --help`."),
        (["status", "--nope"], "No such option"),
        (["query", "x", "--timeout", "0"], "Invalid value for '--timeout'"),
        (["query", "x", "--repeat", "many"], "Invalid value for '--repeat'"),
        (["time", "soon"], "'soon' is no step of time"),
        (["time", "-1h"], "the lab's clock only goes forward"),
        (["time", "reset", "--node", "x"], "`reset` puts the clocks of all nodes back"),
        (["up", "nowhere.yaml"], "there is no lab file nowhere.yaml"),
        (["up", "minimla"], "no lab is called 'minimla'; did you mean 'minimal'?"),
        (["up", "minimal", "--name", "Foo Bar"], "'Foo Bar' cannot be the name of a lab"),
        (["render", "nowhere.yaml"], "there is no lab file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_ends_with_4_and_says_why(arguments: list[str], said: str, dnslab: Callable[..., Ended]) -> None:
    plain_text = dnslab(*arguments)
    assert plain_text.code == 4
    assert plain_text.err.startswith(f"dnslab: {said}")
    assert plain_text.out == ""
    assert json.loads(dnslab(*arguments, "--json").out)["exit_code"] == 4


def test_all_problems_of_a_lab_file_are_told_one_a_line(
    dnslab: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    problems = [(4, Problem(("zones", "com"), "no server 'tdl'")), (1, Problem((), "not YAML"))]

    def load(source: str) -> None:
        raise DeclarationError(source, problems)

    monkeypatch.setattr("lab.labs.load", load)
    assert dnslab("up", "my.yaml").err.splitlines() == [
        "dnslab: 2 problems in the lab file",
        "my.yaml:1: not YAML",
        "my.yaml:4: zones.com: no server 'tdl'",
    ]
    told: Mapping[str, Any] = json.loads(dnslab("up", "my.yaml", "--json").out)
    assert told["problems"][1] == {"line": 4, "place": "zones.com", "text": "no server 'tdl'"}


def test_a_broken_pipe_is_no_error(dnslab: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lab, "attach", attach_fails(BrokenPipeError()))
    monkeypatch.setattr("lab.cli.main._discard_output", lambda: None)
    assert dnslab("status") == Ended(0, "", "")


# Help.


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_that_fits_a_terminal(verb: str, dnslab: Callable[..., Ended]) -> None:
    ended = dnslab(verb, "--help")
    assert ended.code == 0
    assert ended.out.startswith(f"Usage: dnslab {verb}")
    usage, _, rest = ended.out.partition("\n\n")
    assert rest.strip()[0].isupper(), usage
    assert verb == "shell" or "--json" in ended.out


def test_the_help_lists_every_verb_in_one_line_each(dnslab: Callable[..., Ended]) -> None:
    for arguments in (["--help"], []):
        ended = dnslab(*arguments)
        assert ended.code == 0
        first_words = [line.split()[0] for line in ended.out.splitlines() if line.startswith("  ")]
        assert set(VERBS) <= set(first_words)
        assert max(map(len, ended.out.splitlines())) <= 80


def test_the_version(dnslab: Callable[..., Ended]) -> None:
    assert dnslab("--version").out.startswith("dnslab 0.")


# What needs no Docker at all.


def test_render_writes_then_is_current_then_is_not(dnslab: Callable[..., Ended], tmp_path: Any) -> None:
    folder = str(tmp_path / "there")
    assert dnslab("render", "minimal", "-o", folder, "--check").code == 1
    assert "docker compose (or docker-compose) -f" in dnslab("render", "minimal", "-o", folder).out
    assert dnslab("render", "minimal", "-o", folder, "--check").code == 0
    file = tmp_path / "there/nodes/root/knot.conf"
    file.write_text("other")
    ended = dnslab("render", "minimal", "-o", folder, "--check", "--json")
    assert (ended.code, json.loads(ended.out)["changed"]) == (1, [str(file)])
