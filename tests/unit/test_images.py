"""What images are built from and how they are named; the builds themselves need Docker and are in tests/lab."""

from __future__ import annotations

import io
import re
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from lab import paths
from lab.errors import BadInput
from lab.runtime import base, images

NAMES = ["bind", "host", "knot", "nsd", "unbound"]


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of images/ and lab/agent to change, in place of the real ones."""
    for real, name in ((paths.images(), "images"), (paths.agent(), "agent")):
        shutil.copytree(real, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        monkeypatch.setattr(paths, name, lambda name=name: tmp_path / name)
    return tmp_path


def references() -> dict[str, str]:
    return {name: images.image_reference(name) for name in [images.BASE, *NAMES]}


def changed(before: dict[str, str]) -> set[str]:
    return {name for name, reference in references().items() if reference != before[name]}


def test_every_folder_is_an_image() -> None:
    assert set(NAMES) <= set(images.known())
    assert images.BASE not in images.known()


def test_references_have_the_form_that_docker_takes_and_do_not_change_by_themselves() -> None:
    for name, reference in references().items():
        assert re.fullmatch(rf"dnslab/{name}:[0-9a-f]{{12}}", reference)
    assert changed(references()) == set()


@pytest.mark.parametrize("name", NAMES)
def test_a_changed_dockerfile_changes_its_own_image_only(copy: Path, name: str) -> None:
    before = references()
    with (copy / "images" / name / "Dockerfile").open("a") as file:
        file.write("# more\n")
    assert changed(before) == {name}


@pytest.mark.parametrize("file", ["Dockerfile", "labclock.c", "apt.conf", "dpkg.cfg"])
def test_whatever_changes_in_the_base_changes_every_image(copy: Path, file: str) -> None:
    before = references()
    path = copy / "images" / "base" / file
    path.write_bytes(path.read_bytes() + b"\n")
    assert changed(before) == set(before)


def test_the_agent_changes_the_image_of_the_hosts_only(copy: Path) -> None:
    before = references()
    (copy / "agent" / "more.py").write_text("")
    assert changed(before) == {"host"}
    (copy / "agent" / "more.py").rename(copy / "agent" / "renamed.py")
    assert images.image_reference("host") not in (before["host"],)


def test_what_python_leaves_behind_changes_nothing(copy: Path) -> None:
    before = references()
    cache = copy / "agent" / "__pycache__"
    cache.mkdir()
    (cache / "clock.cpython-311.pyc").write_bytes(b"compiled")
    (copy / "agent" / "stray.pyc").write_bytes(b"compiled")
    assert changed(before) == set()


def test_content_moved_between_files_is_a_change(copy: Path) -> None:
    (copy / "agent" / "a.py").write_text("xy")
    (copy / "agent" / "b.py").write_text("")
    before = references()
    (copy / "agent" / "a.py").write_text("x")
    (copy / "agent" / "b.py").write_text("y")
    assert changed(before) == {"host"}


def test_a_context_holds_what_the_dockerfile_copies_and_no_more() -> None:
    assert list(images.context_files("knot")) == ["images/knot/Dockerfile"]
    assert set(images.context_files("base")) == {
        f"images/base/{file}" for file in ("Dockerfile", "labclock.c", "apt.conf", "dpkg.cfg")
    }
    host = images.context_files("host")
    assert "lab/agent/__init__.py" in host
    assert all(path == "images/host/Dockerfile" or re.fullmatch(r"lab/agent/[\w/]+\.py", path) for path in host)


def test_an_archive_is_the_same_for_the_same_files_in_any_order() -> None:
    files = images.context_files("base")
    archive = images.context_archive(files)
    assert archive == images.context_archive(dict(reversed(files.items())))
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        assert opened.getnames() == sorted(files)
        for member in opened:
            assert (member.mtime, member.uid, member.gid, member.mode) == (0, 0, 0, 0o644)
            content = opened.extractfile(member)
            assert content is not None
            assert content.read() == files[member.name]


@pytest.mark.parametrize("name", ["nothing", "../base", "", "Knot"])
def test_an_unknown_image_is_told_with_those_that_exist(name: str) -> None:
    with pytest.raises(BadInput, match=r"Known are: .*knot"):
        images.image_reference(name)


def test_a_dockerfile_that_copies_from_elsewhere_or_nowhere_is_refused(copy: Path) -> None:
    dockerfile = copy / "images" / "knot" / "Dockerfile"
    text = dockerfile.read_text()
    dockerfile.write_text(text + "COPY lab/cli /cli\n")
    with pytest.raises(BadInput, match="can only copy from images and lab/agent"):
        images.image_reference("knot")
    dockerfile.write_text(text + "COPY images/knot/missing.conf /etc/\n")
    with pytest.raises(BadInput, match=r"copies images/knot/missing\.conf, which is not there"):
        images.image_reference("knot")


@pytest.mark.parametrize("name", NAMES)
def test_every_image_stands_on_the_base_as_an_unprivileged_user_and_leaves_no_cache(name: str) -> None:
    text = (paths.images() / name / "Dockerfile").read_text()
    instructions = [line for line in text.splitlines() if re.match(r"[A-Z]+ ", line)]
    assert instructions[:2] == ["ARG BASE=dnslab/base", "FROM ${BASE}"]
    assert "USER dnslab" in instructions
    assert re.search(rf"^LABEL dnslab=image dnslab\.image={name} dnslab\.package=\S+$", text, re.M)
    assert "--no-install-recommends" in text
    assert "rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/*" in text
    assert "curl" not in text
    assert "pip " not in text


def test_the_context_of_docker_build_has_everything_that_is_copied() -> None:
    """.dockerignore lets through what the Dockerfiles copy when somebody builds them by hand or with Compose."""
    ignored = (paths.images().parent / ".dockerignore").read_text().splitlines()
    assert {"*", "!images", "!lab/agent", "**/__pycache__"} <= set(ignored)


def test_a_version_is_read_from_dpkg_s_own_file() -> None:
    status = (
        "Package: knot-dnssecutils\nStatus: install ok installed\nVersion: 9\n\n"
        "Package: knot\nStatus: install ok installed\nArchitecture: amd64\nVersion: 3.2.6-1\nDepends: x\n\n"
    )
    assert images.installed_version(status, "knot") == "3.2.6-1"
    assert images.installed_version(status, "kno") == "unknown"


def test_mirrors_are_those_of_the_machine(tmp_path: Path) -> None:
    assert base.mirrors(tmp_path) == (base.MIRROR, base.SECURITY_MIRROR)
    folder = tmp_path / "sources.list.d"
    folder.mkdir()
    (folder / "vendor.list").write_text("deb [signed-by=/k] https://packages.example.com/apt stable main\n")
    (folder / "debian.sources").write_text(
        "Types: deb\nURIs: http://mirror.example.net/debian/\nSuites: trixie\n\n"
        "Types: deb\n# URIs: http://no.example/debian\nURIs: http://mirror.example.net/debian-security\n"
    )
    assert base.mirrors(tmp_path) == ("http://mirror.example.net/debian", "http://mirror.example.net/debian-security")
    (tmp_path / "sources.list").write_text(
        "# deb http://old.example/debian x main\ndeb-src http://src.example/debian bookworm main\n"
        "deb [arch=amd64 signed-by=/k.gpg] http://first.example/debian bookworm main\n"
    )
    assert base.mirrors(tmp_path)[0] == "http://first.example/debian"


def test_the_folders_of_a_checkout_and_of_a_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (paths.images() / "base" / "Dockerfile").is_file()
    assert paths.compose().name == "compose"
    installed = tmp_path / "site-packages" / "lab"
    (installed / "_data" / "images").mkdir(parents=True)
    monkeypatch.setattr(paths, "_PACKAGE", installed)
    assert paths.images() == installed / "_data" / "images"
    assert paths.agent() == installed / "agent"


# What gc removes.


class Images:
    """A Docker with some images that have our label, as its API lists them: number -> tags."""

    def __init__(self, tags: dict[str, list[str]]) -> None:
        self.api, self.there, self.removed = self, tags, list[str]()

    def images(self, filters: dict[str, str]) -> list[dict[str, object]]:
        assert filters == {"label": images.OURS}
        return [{"Id": number, "RepoTags": tags} for number, tags in self.there.items()]

    def remove_image(self, reference: str) -> None:
        self.removed.append(reference)


def test_prune_leaves_what_is_current_and_what_somebody_built_on_ours() -> None:
    client: Any = Images(
        {
            "current": [images.image_reference("host"), "dnslab/host:latest"],
            "outdated": ["dnslab/host:0123456789ab"],
            "half-built": ["<none>:<none>"],
            "somebody's": ["my-mail-server:test"],
            "kept": ["dnslab/host:ba9876543210", "my-copy:1"],
        }
    )
    assert images.prune(client) == client.removed == ["dnslab/host:0123456789ab", "half-built"]
