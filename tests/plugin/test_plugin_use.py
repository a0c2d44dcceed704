"""What whoever uses it wrongly is told, and whoever has no Docker: a message, and no trace of ours."""

from __future__ import annotations

import pytest
from plugintools import Project

NOWHERE = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}

NOT_LABS = '''
    import pytest

    def test_without_a_lab():
        pass

    def test_no_marker(dns_lab):
        pass

    @pytest.mark.dnslab("minmal")
    def test_no_such_lab(dns_lab):
        pass

    @pytest.mark.dnslab("labs/none.yaml")
    def test_no_such_file(resolver):
        pass

    @pytest.mark.dnslab("""
    lab: wrong
    zones:
      .: {servers: [root]}
      com: {servers: [root], ttl: soon}
    servers: {root: knot}
    hosts: {host: {resolvers: []}}
    """)
    def test_errors(host):
        pass

    @pytest.mark.dnslab("minimal")
    def test_no_docker(dns_zone):
        pass

    @pytest.mark.dnslab("minimal", needs=["nfq"])
    def test_no_such_need(dns_lab):
        pass
'''
NODES = """
    import pytest

    pytestmark = pytest.mark.dnslab("tiny.yaml")

    def test_no_such_node(dns_lab):
        dns_lab.node("rot").stop()

    def test_no_such_fault(dns_fault):
        dns_fault("latencyy", "root", delay="80ms")

    def test_no_such_name(host):
        host.query("www..com")

    @pytest.mark.parametrize("resolver", ["resolver-2"], indirect=True)
    def test_no_such_resolver(resolver):
        pass
"""
LACKING = """
    import pytest

    from lab import EnvironmentProblem, Lab
    from lab.testing import needs

    @pytest.fixture(autouse=True)
    def no_nfqueue(monkeypatch):
        monkeypatch.setattr(needs, "lacking", lambda need: "no such module" if need == "nfqueue" else "")

        def refused(*_how, **_parameters):
            raise EnvironmentProblem("the kernel has no NFQUEUE")

        monkeypatch.setattr(Lab, "fault", refused)
"""
NEEDING = """
    import pytest

    @pytest.mark.dnslab(needs=["packet"])
    def test_that_needs_what_is_there():
        pass

    @pytest.mark.dnslab("tiny.yaml")
    def test_that_needs_it(dns_fault):
        dns_fault("latency", "root", delay="80ms")
"""


def _untraced(result: pytest.RunResult) -> None:
    """Nothing in it is a trace of code that is not the project's."""
    said = result.stdout.str() + result.stderr.str()
    for sign in "Traceback (most recent", "INTERNALERROR", "/lab/testing/", "/lab/runtime/", "/lab/topology/", "raise ":
        assert sign not in said, said


def test_what_is_no_lab_and_no_docker(project: Project) -> None:
    project.write(test_not_labs=NOT_LABS)
    result = project.run(**NOWHERE)
    result.assert_outcomes(passed=1, errors=6)
    for line in (
        "*mark the test @pytest.mark.dnslab('minimal')*",
        "*no lab is called 'minmal'; did you mean 'minimal'?*",
        "*there is no lab file */labs/none.yaml",
        "test_not_labs.py::test_errors: dnslab:5: zones.com.ttl: *",
        "test_not_labs.py::test_errors: dnslab:7: hosts.host.resolvers: *",
        "Docker at unix:///nowhere/docker.sock (chosen by DOCKER_HOST) does not answer: no daemon listens there.",
        "dnslab(needs=...): there is no 'nfq' (*nfqueue*)",
    ):
        result.stdout.fnmatch_lines([line])
    _untraced(result)


@pytest.mark.parametrize(
    ("marker", "said"),
    [
        ("'minimal', shared=True", "dnslab(...) has no shared="),
        ("5", "dnslab(...) takes names of labs, lab files, or their text, not 5"),
        ("['minimal', 'textbook']", "not ['minimal', 'textbook']"),
    ],
)
def test_markers(project: Project, marker: str, said: str) -> None:
    project.write(
        test_marked=f"""
            import pytest

            @pytest.mark.dnslab({marker})
            def test_marked(dns_lab):
                pass
        """
    )
    result = project.run(**NOWHERE)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert said in result.stdout.str()
    assert "test_marked" in result.stdout.str()
    _untraced(result)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--require=nfq",), "--require: nothing is called 'nfq' here; did you mean 'nfqueue'?"),
        (("--dnslab", "textbok"), "no lab is called 'textbok'; did you mean 'textbook'?"),
        (("--dnslab", "none.yaml"), "there is no lab file"),
    ],
)
def test_options(project: Project, arguments: tuple[str, ...], said: str) -> None:
    project.write(test_plain="def test_plain(dns_lab): pass")
    result = project.run(*arguments, **NOWHERE)
    assert result.ret in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.TESTS_FAILED)
    assert said in result.stdout.str() + result.stderr.str()
    _untraced(result)


def test_a_marker_without_a_fixture_is_told(project: Project) -> None:
    project.write(
        test_plain="""
            import pytest

            @pytest.mark.dnslab("minimal")
            def test_plain():
                pass
        """
    )
    result = project.run(**NOWHERE)
    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(["*test_plain is marked dnslab and uses none of its fixtures: it has no lab"])


def test_what_is_not_in_the_lab(project: Project) -> None:
    project.write(test_nodes=NODES)
    result = project.run()
    result.assert_outcomes(failed=3, errors=1)
    for line in (
        "E * no node 'rot' in lab tiny-*; did you mean 'root'? *",
        "E * no fault 'latencyy'; did you mean 'latency'? *",
        "E * name 'www..com.' has an empty label*",
        "no node 'resolver-2' in lab tiny-*",
    ):
        result.stdout.fnmatch_lines([line])
    _untraced(result)


def test_what_the_kernel_lacks_skips_tests_or_fails_them_where_it_is_required(project: Project) -> None:
    project.write(conftest=LACKING, test_needing=NEEDING)
    result = project.run("-rs")
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED * this machine has no nfqueue *: no such module; see dnslab doctor"])
    result = project.run("--require=nfqueue")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*this machine has no nfqueue *; --require=nfqueue makes that a failure"])
    _untraced(result)


def test_a_marker_that_needs_what_is_not_there_needs_no_docker_to_say_so(project: Project) -> None:
    project.write(
        conftest="""
            from lab.testing import needs

            needs.lacking = lambda need: "no such module"
        """,
        test_marked="""
            import pytest

            @pytest.mark.dnslab("minimal", needs="nfqueue")
            def test_marked(dns_lab):
                pass
        """,
    )
    project.run(**NOWHERE).assert_outcomes(skipped=1)
    project.run("--require=nfqueue", **NOWHERE).assert_outcomes(errors=1)
