"""dnslab: a private Internet name system in containers."""

from __future__ import annotations
