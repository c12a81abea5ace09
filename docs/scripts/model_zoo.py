"""Write the tables of docs/model_zoo.md from the metafiles of the configs: ``python docs/scripts/model_zoo.py``."""

import re
from pathlib import Path
from typing import Any

import yaml
from mmengine.config import Config

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / 'docs/model_zoo.md'
TABLE = re.compile(r'(<!-- table: ([\w-]+)(?: (\S+))? -->\n).*?(<!-- end -->)', re.DOTALL)
HEADER = '| config | tasks | input, px | parameters | GFLOPs | epochs | published counterpart | trained here |'
RULE = '| --- | --- | ---: | ---: | ---: | ---: | --- | --- |'


def row(model: dict[str, Any]) -> str:
    """One line of a table, from a metafile's entry and the config that it names."""
    cfg = Config.fromfile(ROOT / model['Config'])
    meta = model['Metadata']
    gflops = meta['FLOPs'] / 1e9
    if 'Figures' in meta:
        trained = f'[yes]({meta["Figures"].removeprefix("docs/")})'
    else:
        trained = 'not yet' if 'train_cfg' in cfg else '[converts](advanced_guides/converting.md)'
    cells = (
        f'`{model["Name"]}`',
        ' '.join(cfg.model.heads),
        '{} x {}'.format(*cfg.img_scale),
        f'{meta["Parameters"]:,}',
        f'{gflops:.1f}' if gflops >= 10 else f'{gflops:.3f}',
        str(cfg.train_cfg.max_epochs) if 'train_cfg' in cfg else '',
        meta.get('Counterpart', ''),
        trained,
    )
    return f'| {" | ".join(cells)} |'


def table(family: str, suffix: str | None) -> str:
    """The table of a folder of configs; of those alone whose names end with ``suffix``, if one is given."""
    metafile = yaml.safe_load((ROOT / 'configs' / family / 'metafile.yml').read_text(encoding='utf-8'))
    models = [model for model in metafile['Models'] if model['Name'].endswith(suffix or '')]
    return '\n'.join([HEADER, RULE, *map(row, models)]) + '\n'


def render(text: str) -> str:
    """The page with all tables written anew."""
    return TABLE.sub(lambda found: f'{found[1]}{table(found[2], found[3])}{found[4]}', text)


if __name__ == '__main__':
    PAGE.write_text(render(PAGE.read_text(encoding='utf-8')), encoding='utf-8')
