"""Measured numbers in words, with their intervals."""

from __future__ import annotations

import math

from lab.experiments.journal import Estimate


def number(value: float, unit: str) -> str:
    """One number for people: shares in percent, seconds in the unit that suits them."""
    if math.isinf(value):
        return "endless" if unit == "s" and value > 0 else str(value)
    if unit == "share":
        return f"{value * 100:.3g}%" if value < 0.9995 else f"{value * 100:.4g}%"
    if unit == "s":
        return _seconds(value)
    plain = f"{value:.0f}" if value == round(value) and abs(value) < 1e15 else f"{value:.4g}"
    return plain if not unit else f"{plain} {unit}" if unit in ("queries", "look-ups") else f"{plain}{_per(unit)}"


def estimate(found: Estimate, confidence: float) -> str:
    """A number with its interval, and how many samples it rests on."""
    text = number(found.value, found.unit)
    if not found.is_exact:
        low, high = number(found.low, found.unit), number(found.high, found.unit)
        text += f" ({low} to {high} at {confidence * 100:g}% confidence)"
    if found.samples is not None and found.unit not in ("queries", "look-ups"):
        text += f" of {found.samples} {'look-ups' if found.samples != 1 else 'look-up'}"
    return text


def _seconds(value: float) -> str:
    size = abs(value)
    if size >= 86400:
        return f"{value / 86400:.3g} d"
    if size >= 3600:
        return f"{value / 3600:.3g} h"
    if size >= 120:
        return f"{value / 60:.3g} min"
    if size >= 1 or value == 0:
        return f"{value:.3g} s"
    return f"{value * 1000:.3g} ms" if size >= 1e-3 else f"{value * 1e6:.3g} us"


def _per(unit: str) -> str:
    return "/s" if unit == "per s" else f" {unit}"
