"""What stands beside the graphs of an exported network: all that a runtime must know."""

import json
from pathlib import Path
from typing import Any

FORMAT = 1
FILE_NAME = 'network.json'
VISION_FILE, CAPTION_FILE = 'vision.onnx', 'caption.onnx'
_KEYS = ('tasks', 'dataset_meta', 'letterbox', 'input', 'detection', 'masks', 'semantic', 'panoptic', 'caption')


def read_description(path: str | Path) -> tuple[Path, dict[str, Any]]:
    """Read the description of an exported network.

    Args:
        path: The file, or the folder it lies in.

    Returns:
        The folder and the content.

    Raises:
        FileNotFoundError: It, or a graph that it names, does not exist.
        ValueError: It is no such description, or that of another version of the format.
    """
    path = Path(path)
    file = path / FILE_NAME if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(f'{file} does not exist: give the folder that tools/deployment/export_onnx.py wrote')
    try:
        content = json.loads(file.read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(f'{file} is no JSON: {error}') from error
    if not isinstance(content, dict) or 'format' not in content:
        raise ValueError(f'{file} does not describe an exported network: it has no key "format"')
    if content['format'] != FORMAT:
        raise ValueError(
            f'{file} has format {content["format"]}, this version reads {FORMAT}: export the network anew with '
            'tools/deployment/export_onnx.py'
        )
    missing = [key for key in _KEYS if key not in content]
    if missing:
        raise ValueError(f'{file} lacks {missing}: export the network anew with tools/deployment/export_onnx.py')
    for name in [VISION_FILE] + ([CAPTION_FILE] if content['caption'] is not None else []):
        if not (file.parent / name).is_file():
            raise FileNotFoundError(f'{file.parent / name} is missing: {FILE_NAME} and the graphs belong together')
    merged = content['dataset_meta'].get('panoptic_stuff')
    if merged:  # JSON has no numbers as keys
        content['dataset_meta']['panoptic_stuff'] = {int(key): value for key, value in merged.items()}
    return file.parent, content
