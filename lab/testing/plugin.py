"""The pytest plugin: a lab for tests, as new for each, healed and gone at the end whatever happens.

Fixtures: `dns_lab`, `resolver`, `host`, `dns_fault`, `dns_seen`, `dns_zone`. Which lab is said by
`@pytest.mark.dnslab("minimal")`, by `dnslab = minimal` in the configuration of pytest, or by `--dnslab minimal`.
Nothing touches Docker before a test asks for one of them.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from lab.errors import BadInput, EnvironmentProblem, LabError, NoEffect

if TYPE_CHECKING:
    from types import TracebackType

    from lab.faults.fault import Fault
    from lab.node import Node
    from lab.observe.observation import Observation
    from lab.testing.choosing import Choice
    from lab.testing.session import Session
    from lab.testing.undertest import LabUnderTest
    from lab.testing.zones import ZoneChanges

_RUN, _OWNER = "dnslab_run", "dnslab_owner"  # what a worker of pytest-xdist is told


class LeftBroken(pytest.PytestWarning):
    """A test ended with the lab broken other than by `dns_fault` and `dns_zone`; it has been mended."""


# The session


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options, in a group of their own."""
    group = parser.getgroup("dnslab", "a private Internet name system (dnslab)")
    group.addoption("--dnslab", metavar="LAB", help="the lab of tests that are not marked: its name, or a lab file")
    group.addoption(
        "--dnslab-shared",
        action="store_true",
        default=None,
        help="with pytest-xdist: all workers use one lab, that may only be asked (default: one each)",
    )
    group.addoption("--dnslab-artifacts", metavar="DIR", help="keep trace, logs and packets of failed tests here")
    group.addoption("--dnslab-summary", metavar="FILE", help="append a summary in Markdown, as for a CI job")
    group.addoption(
        "--require",
        "--dnslab-require",
        dest="dnslab_require",
        metavar="NEEDS",
        default="",
        help="fail, and do not skip, where this is missing: nfqueue,redirect,packet,ipv6,docker",
    )
    parser.addini("dnslab", "the lab of tests that are not marked: its name, or a lab file relative to the root")
    parser.addini("dnslab_shared", "as --dnslab-shared", type="bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    """Markers, and what the options say."""
    config.addinivalue_line(
        "markers",
        "dnslab(*labs, needs=(), share=None): the lab that the fixtures of dnslab are about: the name of one that "
        "comes with it, a lab file relative to the test's, or the text of one; with several, the test runs on each. "
        "needs: nfqueue, redirect, packet. share=False: a lab of its own also with --dnslab-shared",
    )
    from lab.testing import needs
    from lab.testing.session import KEY, Session

    told = getattr(config, "workerinput", {})
    try:
        required = needs.read(config.getoption("dnslab_require"))
    except BadInput as error:
        raise pytest.UsageError(f"--require: {error}") from None
    artifacts = config.getoption("dnslab_artifacts")
    config.stash[KEY] = Session(
        run=told.get(_RUN) or secrets.token_hex(3),
        worker=told.get("workerid", ""),
        owner=told.get(_OWNER, ""),
        shared=bool(config.getoption("dnslab_shared") or config.getini("dnslab_shared")),
        required=required,
        artifacts=Path(config.invocation_params.dir, artifacts) if artifacts else None,
    )


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """A worker of pytest-xdist is to be started: tell it whose it is."""
    session = _session(node.config)
    node.workerinput |= {_RUN: session.run, _OWNER: session.owner}


def pytest_sessionstart(session: pytest.Session) -> None:
    """Nothing is made; but what workers will share dies with this process."""
    _session(session.config).start()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Take the labs down."""
    _session(session.config).finish()


def pytest_report_header(config: pytest.Config) -> str:
    """The name of the session: in those of its labs, in JUnit XML and in the summary."""
    return f"dnslab: run {_session(config).run}"


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Where the artifacts are; and the summary, where one is asked for."""
    from lab.testing.summary import markdown

    session = _session(config)
    if session.artifacts is not None and session.artifacts.is_dir():
        terminalreporter.write_line(f"dnslab: what failed tests left is in {session.artifacts}")
    if file := config.getoption("dnslab_summary"):
        with Path(config.invocation_params.dir, file).open("a", encoding="utf-8") as summary:
            summary.write(markdown(session.run, terminalreporter.stats))


# Which lab


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A marker that names labs runs the test on each of them."""
    if "dns_lab" not in metafunc.fixturenames:
        return
    choices = _choices(metafunc.definition)
    if not choices:
        return
    hidden = getattr(pytest, "HIDDEN_PARAM", None) if len(choices) == 1 else None
    ids = [hidden or choice.label for choice in choices]
    metafunc.parametrize("dns_lab", choices, indirect=True, scope="session", ids=ids)


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Tell those who mark a test and use no lab."""
    for item in items:
        own = [mark for mark in item.own_markers if mark.name == "dnslab" and mark.args]
        if own and "dns_lab" not in getattr(item, "fixturenames", ()):
            item.warn(
                pytest.PytestWarning(f"{item.name} is marked dnslab and uses none of its fixtures: it has no lab")
            )


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what this machine cannot do, or fail it where that is required."""
    for mark in item.iter_markers("dnslab"):
        needs = mark.kwargs.get("needs", ())
        for need in needs.split(",") if isinstance(needs, str) else needs:
            _need(item.config, need)


def _choices(definition: Any) -> list[Choice]:
    """What the closest marker says, that names a lab."""
    from lab.testing.choosing import Choice

    marks = list(definition.iter_markers("dnslab"))
    for mark in marks:
        if unknown := set(mark.kwargs) - {"needs", "share"}:
            pytest.fail(f"{definition.nodeid}: dnslab(...) has no {', '.join(sorted(unknown))}=", pytrace=False)
    mark = next((mark for mark in marks if mark.args), None)
    share = next((mark.kwargs["share"] for mark in marks if "share" in mark.kwargs), None)
    if mark is None:
        default = _default(definition.config)
        return [] if share is None or default is None else [default.sharing(share)]
    for source in mark.args:
        if not isinstance(source, str) or not source.strip():
            pytest.fail(
                f"{definition.nodeid}: dnslab(...) takes names of labs, lab files, or their text, not {source!r}",
                pytrace=False,
            )
    return [Choice.of(source, definition.path.parent, f"{definition.nodeid}: dnslab", share) for source in mark.args]


def _default(config: pytest.Config) -> Choice | None:
    """What the command line or the configuration says."""
    from lab.testing.choosing import Choice

    if source := config.getoption("dnslab"):
        return Choice.of(source, Path(config.invocation_params.dir), "--dnslab")
    if source := config.getini("dnslab"):
        return Choice.of(source, config.rootpath, "dnslab = ...")
    return None


# The fixtures


@pytest.fixture(scope="session")
def dns_lab(request: pytest.FixtureRequest) -> LabUnderTest:
    """A whole DNS in containers, as a `lab.Lab`: `dns_lab.query("www.example.com")`, `dns_lab.node("tld").stop()`.

    It is brought up when a test first asks for it and stays to the end of the session; before each test everything in
    it runs, nothing is broken, and no cache holds anything.
    """
    choice = getattr(request, "param", None) or _default(request.config)
    if choice is None:
        pytest.fail(
            "nothing says which lab is meant: mark the test @pytest.mark.dnslab('minimal'), put dnslab = minimal into "
            "the configuration of pytest, or run it with --dnslab minimal",
            pytrace=False,
        )
    try:
        return _session(request.config).lab(choice)
    except LabError as error:
        _fail(str(error))


@pytest.fixture(autouse=True)
def _dns_lab_as_new(request: pytest.FixtureRequest) -> Iterator[None]:
    """The lab is as new before each test that uses it."""
    if "dns_lab" not in request.fixturenames:
        yield
        return
    lab: LabUnderTest = request.getfixturevalue("dns_lab")
    request.node.user_properties += [("dnslab", lab.name), (_RUN, _session(request.config).run)]
    try:
        lab.begin()
    except LabError as error:
        _fail(str(error))
    yield
    try:
        left = lab.finish()
    except LabError as error:
        _fail(str(error))
    for line in left:
        request.node.warn(LeftBroken(f"{request.node.name} left lab {lab.name} broken: {line}; it has been mended"))


@pytest.fixture
def resolver(request: pytest.FixtureRequest, dns_lab: LabUnderTest) -> Node:
    """The first resolver of the lab: `resolver.query("www.example.com")`, `resolver.flush()`, `resolver.stop()`.

    Another one: `@pytest.mark.parametrize("resolver", ["resolver-2"], indirect=True)`.
    """
    return _node(dns_lab, getattr(request, "param", dns_lab.resolvers[0].name))


@pytest.fixture
def host(request: pytest.FixtureRequest, dns_lab: LabUnderTest) -> Node:
    """The first host of the lab, which asks as its programs do: `host.query("www.example.com")`."""
    return _node(dns_lab, getattr(request, "param", dns_lab.hosts[0].name))


@pytest.fixture
def dns_fault(request: pytest.FixtureRequest, dns_lab: LabUnderTest) -> Iterator[Callable[..., Fault]]:
    """Break something, measured, until the end of the test: `dns_fault("latency", "tld", delay="80ms")`.

    As `lab.Lab.fault`; `dnslab fault list` has all there are. A test whose fault this machine cannot do is skipped.
    """
    with ExitStack() as healing:

        def inject(name: str, node: str | Sequence[str], /, **how: Any) -> Fault:
            try:
                return healing.enter_context(dns_lab.fault(name, node, **how))
            except EnvironmentProblem as error:
                if not isinstance(error, NoEffect):
                    _need(request.config, "nfqueue", "redirect")
                raise

        yield inject


@pytest.fixture
def dns_seen(request: pytest.FixtureRequest, dns_lab: LabUnderTest) -> Observation:
    """What was on the wire in this test, at hosts and resolvers: `dns_seen.upstream(to="root")`, `dns_seen.messages`.

    As `lab.Lab.observe`. Where packets cannot be watched the test is skipped.
    """
    try:
        return dns_lab.watched()
    except BadInput as error:
        _fail(str(error))
    except EnvironmentProblem:
        _need(request.config, "packet")
        raise


@pytest.fixture
def dns_zone(dns_lab: LabUnderTest, dns_fault: Callable[..., Fault]) -> ZoneChanges:
    """Change records for this test: `dns_zone.set("www.example.com", "A", "192.0.2.99", ttl=5)`, `add`, `remove`."""
    from lab.testing.zones import ZoneChanges

    return ZoneChanges(dns_lab, dns_fault)


# When a test fails


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Say what the lab knows, before it is made as new."""
    if call.excinfo is not None and isinstance(call.excinfo.value, LabError) and not item.config.option.fulltrace:
        _end_with_theirs(call.excinfo.tb, item.config.rootpath)
    outcome: Any = yield
    report = outcome.get_result()
    lab = getattr(item, "funcargs", {}).get("dns_lab")
    if lab is None or not report.failed or call.when == "teardown":
        return
    from lab.testing import evidence

    said = str(call.excinfo.value) if call.excinfo is not None else ""
    told = list(evidence.sections(lab, said))
    folder = _session(item.config).artifacts
    if folder is not None:
        try:
            files = evidence.write(lab, told, folder / evidence.folder_name(item.nodeid))
            told.append(("dnslab: files", "\n".join(map(str, files[:3])) + f"\nand {len(files) - 3} logs"))
        except OSError as error:
            told.append(("dnslab: files", f"none could be written: {error}"))
    report.sections += told


def _end_with_theirs(trace: TracebackType, root: Path) -> None:
    """Let the trace of an error of ours, whose message says it all, end in their code."""
    ours, last = Path(__file__).parents[1], None
    at: TracebackType | None = trace
    while at is not None:
        file = Path(at.tb_frame.f_code.co_filename)
        if root in file.parents and ours not in file.parents and "site-packages" not in file.parts:
            last = at
        at = at.tb_next
    if last is not None:
        last.tb_next = None


def _need(config: pytest.Config, *wanted: str) -> None:
    """Skip the test if one of these is missing here, or fail it where it is required."""
    from lab.testing import needs

    for need in wanted:
        if need not in needs.NEEDS:
            _fail(f"dnslab(needs=...): there is no {need!r} ({', '.join(needs.NEEDS)})")
        if why := needs.lacking(need):
            what = f"this machine has no {need} ({needs.NEEDS[need]}): {why}; see dnslab doctor"
            if need in _session(config).required:
                _fail(f"{what}; --require={need} makes that a failure")
            pytest.skip(what)


def _node(lab: LabUnderTest, name: str) -> Node:
    try:
        return lab.node(name)
    except BadInput as error:
        _fail(str(error))


def _fail(text: str) -> NoReturn:
    """Fail with these words alone: no trace of how it was found out."""
    raise pytest.fail.Exception(text, pytrace=False) from None


def _session(config: pytest.Config) -> Session:
    from lab.testing.session import KEY

    return config.stash[KEY]
