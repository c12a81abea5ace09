"""A bar on a terminal, now and then a line in a log."""

import io

import pytest

from mmyolor_mtl.datasets.converters import progress
from mmyolor_mtl.datasets.converters.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, 'monotonic', lambda: now[0])
    return now


def work(stream, clock, seconds):
    with Progress('painting', 4, stream) as shown:
        for _ in range(4):
            clock[0] += seconds
            shown.step()
    return stream.getvalue()


def test_log_gets_plain_lines_every_half_minute(clock):
    lines = work(io.StringIO(), clock, 20).splitlines()
    assert lines == ['painting: 2/4, 40 s left', 'painting: 4/4']


def test_short_jobs_leave_no_trace_in_a_log(clock):
    assert work(io.StringIO(), clock, 1) == ''


def test_terminal_gets_a_bar_that_ends_full(clock):
    text = work(Terminal(), clock, 1)
    assert text.endswith('[########################] painting: 4/4\n') and text.count('\n') == 1
    assert '[############............] painting: 2/4, 2 s left' in text
