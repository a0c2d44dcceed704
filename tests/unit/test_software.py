"""The server programs: the shape of each module, what is rendered, and what the vendors' own checkers say of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import fields, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

import pytest
from dns.name import from_text, root

from lab.errors import BadInput
from lab.software import program as software
from lab.software.cached import read_cache
from lab.topology.model import Node, Origin, Record, Role, Topology, Zone

REPOSITORY = Path(__file__).parents[2]
TEMPLATES = REPOSITORY / "lab/software/templates"
EXAMPLE = from_text("example.net.")
AUTHORITIES = ("bind", "knot", "nsd")
RESOLVERS = ("bind", "unbound")
EVERY_SERVER = [(name, Role.ROOT) for name in AUTHORITIES] + [(name, Role.RESOLVER) for name in RESOLVERS]


def server(program: str | None, role: Role = Role.AUTHORITY, name: str = "ns1", last: int = 2, **more: object) -> Node:
    address = IPv4Address(f"10.59.0.{last}"), IPv6Address(f"fd59::{last}")
    return replace(Node(name, role, program, *address), **more)  # type: ignore[arg-type]


def zone_of(name: str, *more: Record) -> Zone:
    apex, server_name = from_text(name), from_text("ns1.example.net.")
    records = (
        Record(apex, 3600, "SOA", "ns1.example.net. hostmaster.example.net. 1 7200 3600 1209600 300", Origin.APEX),
        Record(apex, 86400, "NS", server_name.to_text(), Origin.APEX),
        Record(server_name, 86400, "A", "10.59.0.2", Origin.GLUE if apex == root else Origin.NODE),
        Record(server_name, 86400, "AAAA", "fd59::2", Origin.GLUE if apex == root else Origin.NODE),
    )
    return Zone(apex, ("ns1",), records + more)


def lab(*nodes: Node) -> Topology:
    hints = (
        Record(root, 3600000, "NS", "ns1.example.net."),
        Record(from_text("ns1.example.net."), 3600000, "A", "10.59.0.2"),
    )
    cut = Record(EXAMPLE, 86400, "NS", "ns1.example.net.", Origin.DELEGATION)
    zones = {root: zone_of(".", cut), EXAMPLE: zone_of("example.net.")}
    networks = IPv4Network("10.59.0.0/24"), IPv6Network("fd59::/64")
    return Topology("small", *networks, {node.name: node for node in nodes}, zones, hints)


def configuration(node: Node) -> str:
    assert node.program is not None
    return software.render(node, lab(node))[software.program(node.program).config]


def settings(node: Node) -> list[str]:
    """The configuration without comments and indentation: the lines that a program acts on."""
    lines = (line.strip() for line in configuration(node).splitlines())
    return [line for line in lines if line and not line.startswith(("#", "//"))]


# The shape of a program


def test_the_programs_are_found() -> None:
    assert list(software.programs()) == ["bind", "knot", "nsd", "unbound"]
    assert [known.name for known in software.for_role("authority")] == ["bind", "knot", "nsd"]
    assert [known.name for known in software.for_role("resolver")] == ["bind", "unbound"]


@pytest.mark.parametrize("name", software.programs())
def test_a_program_is_a_module_templates_and_an_image(name: str) -> None:
    known = software.program(name)
    assert (REPOSITORY / "lab/software" / f"{name}.py").is_file()
    assert (REPOSITORY / "images" / known.image / "Dockerfile").is_file()
    assert known.roles
    for template in known.roles.values():
        assert (TEMPLATES / template).is_file()
    assert known.reload
    assert known.statistics
    if "resolver" in known.roles:
        assert known.flush
        assert known.flush_name
        assert known.max_ttl
        assert known.max_negative_ttl


def test_every_template_belongs_to_a_program() -> None:
    used = {template for known in software.programs().values() for template in known.roles.values()}
    assert used == {file.name for file in TEMPLATES.iterdir()}


@pytest.mark.parametrize("name", software.programs())
def test_every_line_for_a_shell_is_one(name: str) -> None:
    known = software.program(name)
    node = server(name)
    lines = [software.control(node, "flush_name", "it's.example.net.")] if known.flush_name else []
    for field in fields(known):
        if field.name in ("flush", "reload", "statistics", "version") and getattr(known, field.name):
            lines.append(software.control(node, field.name))  # type: ignore[arg-type]
    for line in lines:
        assert "\n" not in line
        assert "{" not in line
        subprocess.run(["sh", "-n", "-c", line], check=True)


def test_an_unknown_program_is_named_with_the_nearest() -> None:
    with pytest.raises(BadInput, match=r"no server program 'unbund'; did you mean 'unbound'\?"):
        software.program("unbund")


def test_a_program_is_not_made_to_be_what_it_cannot() -> None:
    node = server("nsd", Role.RESOLVER)
    with pytest.raises(BadInput, match="nsd cannot be a resolver; these can: bind, unbound"):
        software.render(node, lab(node))


def test_a_verb_that_is_missing_is_an_error() -> None:
    with pytest.raises(BadInput, match="nsd has no 'flush'"):
        software.control(server("nsd"), "flush")
    with pytest.raises(BadInput, match="a host has no 'reload'"):
        software.control(server(None, Role.HOST), "reload")


def test_templates_are_not_loaded_with_the_modules() -> None:
    check = "import sys; from lab.software import program as p; p.programs(); sys.exit('jinja2' in sys.modules)"
    subprocess.run([sys.executable, "-c", check], cwd=REPOSITORY, check=True)


# What is rendered


@pytest.mark.parametrize("name", AUTHORITIES)
def test_an_authority_has_its_zones(name: str) -> None:
    node = server(name, Role.ROOT, zones=(root, EXAMPLE))
    files = software.render(node, lab(node))
    assert set(files) == {software.program(name).config, "zones/root.zone", "zones/example.net.zone"}
    text = configuration(node)
    assert '"."' in text
    assert '"example.net"' in text
    assert "root.zone" in text
    assert "SOA" in files["zones/root.zone"]


@pytest.mark.parametrize("name", RESOLVERS)
def test_a_resolver_starts_from_the_root_of_the_lab(name: str) -> None:
    node = server(name, Role.RESOLVER)
    files = software.render(node, lab(node))
    assert set(files) == {software.program(name).config, "root.hints"}
    assert "10.59.0.2" in files["root.hints"]
    assert '"/lab/ns1/root.hints"' in configuration(node)


@pytest.mark.parametrize(("name", "role"), EVERY_SERVER)
def test_lines_of_the_lab_file_are_added_verbatim(name: str, role: Role) -> None:
    added = "first line\n    second line"
    plain = server(name, role, zones=(root,) if role is Role.ROOT else ())
    text = configuration(replace(plain, extra_config=added + "\n"))
    assert f"Lines that the lab file adds:\n{added}\n" in text
    assert "lab file adds" not in configuration(plain)
    if name == "bind":
        options, rest = text.split("\noptions {\n")[1].split("\n};\n", 1)
        assert added in options
        assert added not in rest
    else:
        assert text.endswith(added + "\n")


@pytest.mark.parametrize(("name", "role"), EVERY_SERVER)
def test_control_is_not_on_the_network(name: str, role: Role) -> None:
    lines = settings(server(name, role))
    if name == "bind":
        expected = 'controls { inet 127.0.0.1 port 953 allow { 127.0.0.1; } keys { "rndc-key"; }; };'
        assert [line for line in lines if line.startswith("controls")] == [expected]
    elif name == "knot":
        assert lines[lines.index("control:") + 1] == 'listen: "/run/knot.sock"'
    else:
        interfaces = [line for line in lines if line.startswith("control-interface:")]
        assert interfaces == [f'control-interface: "/run/{name}.ctl"']


def test_no_key_is_rendered() -> None:
    node = server("bind")
    assert "secret" not in "".join(software.render(node, lab(node)).values())
    assert "rndc-confgen" in software.command(node, lab(node))[2]


def test_nsd_does_not_limit_the_rate_of_answers() -> None:
    lines = settings(server("nsd"))
    assert "rrl-ratelimit: 0" in lines
    assert "rrl-whitelist-ratelimit: 0" in lines
    assert 'database: ""' in lines


def test_unbound_answers_late_rather_than_never() -> None:
    lines = settings(server("unbound", Role.RESOLVER))
    assert "discard-timeout: 0" in lines
    assert "unblock-lan-zones: yes" in lines
    assert "access-control: 10.59.0.0/24 allow" in lines
    assert "access-control: fd59::/64 allow" in lines


def test_bind_resolves_for_the_lab_alone() -> None:
    lines = settings(server("bind", Role.RESOLVER))
    assert "allow-recursion { 127.0.0.1; ::1; 10.59.0.0/24; fd59::/64; };" in lines
    assert "empty-zones-enable no;" in lines
    assert "recursion no;" in settings(server("bind", Role.AUTHORITY))


def test_bind_is_an_authority_and_a_resolver_in_one() -> None:
    below = server("bind", name="tld", last=7)
    recursive = server("bind", Role.ROOT, recursive=True, zones=(root,), forwards=((EXAMPLE, ("tld",)),))
    lines = software.render(recursive, lab(recursive, below))["named.conf"]
    for line in (
        "    recursion yes;",
        'zone "example.net." {\n    type forward;\n    forward only;',
        "{ 10.59.0.7; };",
    ):
        assert line in lines
    assert "type hint" not in lines  # it serves the root itself
    assert "type hint" in software.render(replace(recursive, role=Role.TLD), lab(recursive, below))["named.conf"]


@pytest.mark.parametrize("program", ["bind", "unbound"])
def test_resolvers_forward_to_a_recursive_root(program: str) -> None:
    resolver = server(program, Role.RESOLVER, "resolver", 9, forwards=((root, ("ns1",)),))
    text = "".join(software.render(resolver, lab(resolver, server("bind", recursive=True))).values())
    assert {"bind": "forward only;\n    forwarders { 10.59.0.2; };", "unbound": "forward-addr: 10.59.0.2"}[
        program
    ] in text


@pytest.mark.parametrize(("name", "role"), EVERY_SERVER)
def test_the_same_lab_gives_the_same_text(name: str, role: Role) -> None:
    node = server(name, role)
    assert software.render(node, lab(node)) == software.render(node, lab(node))


# The command


def test_the_clock_is_preloaded_into_the_program_only() -> None:
    unbound = server("unbound", Role.RESOLVER, "resolver", on_lab_clock=True)
    assert software.command(unbound, lab(unbound)) == [
        "env",
        "LD_PRELOAD=/usr/lib/dnslab/labclock.so",
        "LABCLOCK=/lab/clock/resolver",
        *["unbound", "-d", "-p", "-c", "/lab/resolver/unbound.conf"],
    ]
    bind = server("bind", on_lab_clock=True)
    shell, option, line = software.command(bind, lab(bind))
    assert (shell, option) == ("sh", "-c")
    prepared, program = line.split(" && ")
    assert "LD_PRELOAD" not in prepared
    assert program.startswith("exec env LD_PRELOAD=/usr/lib/dnslab/labclock.so LABCLOCK=/lab/clock/ns1 named ")


@pytest.mark.parametrize("name", software.programs())
def test_without_the_clock_nothing_is_preloaded(name: str) -> None:
    node = server(name)
    assert "LD_PRELOAD" not in " ".join(software.command(node, lab(node)))


def test_a_program_that_cannot_travel_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    stays = replace(software.program("knot"), travels="it is statically linked")
    monkeypatch.setattr(software, "program", lambda _: stays)
    node = server("knot", on_lab_clock=True)
    with pytest.raises(BadInput, match="ns1: knot cannot run on the lab's clock: it is statically linked"):
        software.command(node, lab(node))


# Hosts and the gateway


def test_a_host_asks_its_resolvers_in_order() -> None:
    second, first = server("bind", Role.RESOLVER, "second", 4), server("unbound", Role.RESOLVER, "first", 3)
    host = server(None, Role.HOST, "alice", 9, resolvers=("first", "second"))
    topology = lab(second, first, host)
    text = software.render(host, topology)["resolv.conf"]
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert lines == ["nameserver 10.59.0.3", "nameserver 10.59.0.4"]
    assert software.image(host) == "host"
    assert software.stop_signal(host) == "SIGKILL"
    assert software.command(host, topology)[-1].endswith("/etc/resolv.conf && exec sleep infinity")


def test_the_gateway_forwards_to_its_resolvers() -> None:
    resolver = server("unbound", Role.RESOLVER, "resolver", 3)
    gateway = server(None, Role.GATEWAY, "gateway", 9, resolvers=("resolver",), port=5300)
    topology = lab(resolver, gateway)
    assert software.render(gateway, topology) == {}
    assert software.command(gateway, topology) == (
        ["python3", "-m", "agent.gateway", "--listen", "0.0.0.0", "--port", "53", "10.59.0.3"]
    )


# The vendors' own checkers, where they are installed


def placed(node: Node, folder: Path) -> Path:
    """The files of a node on this machine, `/lab` and `/run` moved below `folder`; its configuration file."""
    assert node.program is not None
    run = folder / "run"
    run.mkdir()
    for name, text in software.render(node, lab(node)).items():
        file = folder / "lab" / node.name / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.replace("/lab/", f"{folder}/lab/").replace('"/run', f'"{run}'))
    return folder / "lab" / node.name / software.program(node.program).config


def checked(tool: str, *arguments: str | Path) -> None:
    done = subprocess.run([tool, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def needs(tool: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(tool) is None, reason=f"{tool} is not installed on this machine")


SERVED = pytest.mark.parametrize("zones", [(root, EXAMPLE), ()], ids=["zones", "no-zone"])


@needs("named-checkconf")
@pytest.mark.parametrize("role", [Role.ROOT, Role.RESOLVER])
@SERVED
def test_named_checkconf(role: Role, zones: tuple[object, ...], tmp_path: Path) -> None:
    node = server("bind", role, zones=() if role is Role.RESOLVER else zones, extra_config="max-cache-ttl 60;")
    file = placed(node, tmp_path)
    (tmp_path / "run/rndc.key").write_text('key "rndc-key" { algorithm hmac-sha256; secret "c2VjcmV0"; };\n')
    checked("named-checkconf", "-z", file)


@needs("nsd-checkconf")
@SERVED
def test_nsd_checkconf(zones: tuple[object, ...], tmp_path: Path) -> None:
    file = placed(server("nsd", Role.ROOT, zones=zones, extra_config="server:\n    identity: one"), tmp_path)
    checked("nsd-checkconf", file)


@needs("knotc")
@SERVED
def test_knotc_conf_check(zones: tuple[object, ...], tmp_path: Path) -> None:
    file = placed(server("knot", Role.ROOT, zones=zones, extra_config="server:\n    identity: one"), tmp_path)
    checked("knotc", "-c", file, "conf-check")


@needs("unbound-checkconf")
def test_unbound_checkconf(tmp_path: Path) -> None:
    added = "server:\n    discard-timeout: 1900"
    checked("unbound-checkconf", placed(server("unbound", Role.RESOLVER, extra_config=added), tmp_path))


@needs("named-checkzone")
def test_named_checkzone(tmp_path: Path) -> None:
    placed(server("bind", Role.ROOT, zones=(root, EXAMPLE)), tmp_path)
    checked("named-checkzone", ".", tmp_path / "lab/ns1/zones/root.zone")


@needs("kzonecheck")
def test_kzonecheck(tmp_path: Path) -> None:
    placed(server("knot", Role.ROOT, zones=(root, EXAMPLE)), tmp_path)
    checked("kzonecheck", "-o", ".", tmp_path / "lab/ns1/zones/root.zone")


# The cache as a program lists it


UNBOUND_CACHE = """\
START_RRSET_CACHE
;rrset 86396 2 0 2 0
example.com.	86396	IN	NS	ns1.example.com.
example.com.	86396	IN	NS	ns2.example.com.
END_RRSET_CACHE
"""
BIND_CACHE = """\
;
; Start view _default
;
; using a 0 second stale ttl
$DATE 20261125163957
; glue
com.			172796	NS	a.gtld-servers.net.
			172796	IN NS	b.gtld-servers.net.
; authanswer
nosuch.com.		896	\\-ANY	;-$NXDOMAIN
; com. SOA a.gtld-servers.net. hostmaster.com. 1 7200 900 1209600 900
ns1.example.com.	172796	AAAA	fd53::18
"""


def test_the_cache_of_unbound_is_read() -> None:
    assert list(read_cache(UNBOUND_CACHE)) == [
        ("example.com.", 86396, "NS", "ns1.example.com."),
        ("example.com.", 86396, "NS", "ns2.example.com."),
    ]


def test_the_cache_of_bind_is_read() -> None:
    assert list(read_cache(BIND_CACHE)) == [
        ("com.", 172796, "NS", "a.gtld-servers.net."),
        ("com.", 172796, "NS", "b.gtld-servers.net."),
        ("ns1.example.com.", 172796, "AAAA", "fd53::18"),
    ]
