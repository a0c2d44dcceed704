"""The lab in test suites: a pytest plugin (`lab.testing.plugin`), and assertions that tell the story when they fail.

    from lab.testing import assert_answer, assert_cached

    @pytest.mark.dnslab("minimal")
    def test_cache(resolver):
        assert_answer(resolver, "www.example.com", "192.0.2.80")
        assert_cached(resolver, "www.example.com")

The assertions work with every lab, without the plugin and without pytest.
"""

from __future__ import annotations

from lab.testing.assertions import assert_answer, assert_cached, assert_latency, assert_ttl, assert_upstream
from lab.testing.waiting import eventually

__all__ = ["assert_answer", "assert_cached", "assert_latency", "assert_ttl", "assert_upstream", "eventually"]
