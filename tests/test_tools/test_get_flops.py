"""Costs of a network, without its data."""

import pytest

from tools.analysis_tools import get_flops

CAPTIONS = 'yolor-mtl_elan-w25_det-ins-sem-cap_demo_shapes'


def test_both_forms_are_counted(capsys):
    get_flops.main(['yolov7-af', '--shape', '320', '320'])
    size, trained, deploy = capsys.readouterr().out.splitlines()[-3:]
    assert size.startswith('320 x 320 px')
    assert trained == 'as trained: 43,589,728 parameters, 32.72 GFLOPs'  # a quarter of the paper's size
    assert deploy == 'deploy form: 43,564,736 parameters, 32.63 GFLOPs'


def test_a_caption_head_counts_without_its_vocabulary(capsys):
    options = ['model.heads.cap.tokenizer=None', 'model.heads.cap.vocab_size=100']
    get_flops.main([CAPTIONS, '--shape', '64', '64', '--cfg-options', *options])
    assert 'as trained: ' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['no-such-config-anywhere'], 'there is no config no-such-config-anywhere'),
        (['yolov7-af', '--shape', '64', '50'], '--shape 64 50: both must be multiples of 32'),
        ([CAPTIONS, '--shape', '64', '64'], 'vocab.txt does not exist'),
    ],
)
def test_bad_input_is_named(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        get_flops.main(arguments)
    assert message in capsys.readouterr().err
