import io
import logging
import re
import sys
from types import SimpleNamespace

import pytest
from mmengine.logging import MessageHub

from mmyolor_mtl.engine.hooks import MTLProgressHook
from mmyolor_mtl.engine.hooks.progress_hook import format_seconds
from mmyolor_mtl.registry import HOOKS


class Terminal(io.StringIO):
    def isatty(self):
        return True


def make_runner(stream):
    logger = logging.Logger('test')
    logger.addHandler(logging.StreamHandler(stream))
    hub = MessageHub('progress')
    for name, value in (('loss_det_cls', 0.75), ('lr', 0.75), ('time', 0.5), ('data_time', 0.125)):
        hub.update_scalar(f'train/{name}', value)
    return SimpleNamespace(
        logger=logger,
        iter=0,
        epoch=0,
        max_iters=20,
        max_epochs=2,
        train_dataloader=range(10),
        val_dataloader=range(4),
        message_hub=hub,
    )


def open_terminal(monkeypatch):
    """Called by the test itself: pytest replaces stdout between a fixture and its test."""
    stream = Terminal()
    monkeypatch.setattr(sys, 'stdout', stream)
    monkeypatch.setenv('TERM', 'xterm-256color')
    monkeypatch.setenv('COLUMNS', '120')
    return stream


def plain(stream):
    return re.sub(r'\x1b\[[0-9;?]*[A-Za-z]', '', stream.getvalue())


def train(hook, runner, iterations=3):
    hook.before_train(runner)
    hook.before_train_epoch(runner)
    for i in range(iterations):
        hook.after_train_iter(runner, i, {'inputs': [0, 0]}, {})
        runner.iter += 1


def test_bar_shows_epoch_losses_speed_and_time_left(monkeypatch):
    terminal = open_terminal(monkeypatch)
    hook, runner = HOOKS.build(dict(type='mmyolor_mtl.MTLProgressHook', interval=0)), make_runner(terminal)
    train(hook, runner)
    hook.after_run(runner)
    text = plain(terminal)
    assert 'Epoch 1/2  3/10' in text and 'det_cls 0.750' in text and 'lr' not in text
    assert 'data 25%' in text
    assert 'images/s' in text and re.search(r'\d+:\d\d left', text)


def test_memory_of_the_gpu_is_shown_where_there_is_one(monkeypatch):
    terminal = open_terminal(monkeypatch)
    monkeypatch.setattr('torch.cuda.is_available', lambda: True)
    monkeypatch.setattr('torch.cuda.max_memory_allocated', lambda: 3 * 2**30)
    hook, runner = MTLProgressHook(interval=0), make_runner(terminal)
    train(hook, runner)
    hook.after_run(runner)
    assert '3.0 GB' in plain(terminal)


def test_speed_is_logged_without_a_terminal_too(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, 'stdout', stream)
    runner = make_runner(stream)
    train(MTLProgressHook(), runner)
    assert runner.message_hub.get_scalar('train/images_per_s').current() > 0


def test_log_lines_come_out_whole_and_streams_are_put_back(monkeypatch):
    terminal = open_terminal(monkeypatch)
    hook, runner = MTLProgressHook(interval=0), make_runner(terminal)
    handler = runner.logger.handlers[0]
    train(hook, runner)
    assert sys.stdout is not terminal and handler.stream is not terminal
    runner.logger.info('a line of the log')
    print('a line of a metric')
    hook.after_run(runner)
    assert sys.stdout is terminal and handler.stream is terminal
    lines = re.split('[\r\n]+', plain(terminal))
    assert 'a line of the log' in lines and 'a line of a metric' in lines
    assert terminal.getvalue().rfind('\x1b[?25h') > terminal.getvalue().rfind('\x1b[?25l')  # the cursor is back


def test_validation_inside_training_and_alone(monkeypatch):
    terminal = open_terminal(monkeypatch)
    hook, runner = MTLProgressHook(interval=0), make_runner(terminal)
    hook.before_val_epoch(runner)
    for i in range(4):
        hook.after_val_iter(runner, i)
    assert 'Validation' in plain(terminal) and 'computing figures' in plain(terminal)
    hook.after_run(runner)
    assert sys.stdout is terminal


def test_interval_limits_redraws(monkeypatch):
    terminal = open_terminal(monkeypatch)
    hook, runner = MTLProgressHook(interval=1000), make_runner(terminal)
    train(hook, runner, iterations=5)
    hook.after_run(runner)
    assert plain(terminal).count('Epoch 1/2  1/10') >= 1 and 'Epoch 1/2  2/10' not in plain(terminal)


def test_nothing_without_a_terminal(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, 'stdout', stream)
    hook, runner = MTLProgressHook(interval=0), make_runner(stream)
    train(hook, runner)
    hook.before_val_epoch(runner)
    hook.after_val_iter(runner, 0)
    hook.after_run(runner)
    assert stream.getvalue() == '' and sys.stdout is stream


def test_nothing_on_a_dumb_terminal(monkeypatch):
    terminal = open_terminal(monkeypatch)
    monkeypatch.setenv('TERM', 'dumb')
    hook, runner = MTLProgressHook(interval=0), make_runner(terminal)
    train(hook, runner)
    assert terminal.getvalue() == '' and sys.stdout is terminal


@pytest.mark.parametrize(('seconds', 'text'), [(0, '0:00'), (61, '1:01'), (36061, '10:01:01'), (-1, '0:00')])
def test_format_seconds(seconds, text):
    assert format_seconds(seconds) == text
