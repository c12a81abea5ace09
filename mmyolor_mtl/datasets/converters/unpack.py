"""Unpacks zip files: checked, in parallel, resumable, nothing half-written."""

import errno
import hashlib
import os
import re
import shutil
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path

from .progress import Progress

_BLOCK = 1 << 20
_CLUSTER = 4096  # files occupy whole blocks of the disk
_RESERVE = 256 << 20  # bytes to leave free
_DIGESTS = {32: 'md5', 40: 'sha1', 64: 'sha256', 128: 'sha512'}
_CHUNK = 64


class Unpacking:
    """What is to be done for one zip file.

    Args:
        path: The zip file.
        pattern: Regular expression of the members that are needed.
        target: Template of their paths below ``root``.
        root: Where they go.
        url: Where the file can be had, for messages.

    Raises:
        ValueError: It is no readable zip file, or holds none of the members.
    """

    def __init__(self, path: Path, pattern: str, target: str, root: Path, url: str = '') -> None:
        self.path, self.url = path, url
        try:
            with zipfile.ZipFile(path) as archive:
                infos = [info for info in archive.infolist() if not info.is_dir()]
        except (zipfile.BadZipFile, OSError) as error:
            raise ValueError(f'{path} is no complete zip file ({error}): {self.advice}') from error
        matches = [(info, re.search(pattern, info.filename)) for info in infos]
        self.members = {root / match.expand(target): info for info, match in matches if match}
        if not self.members:
            raise ValueError(f'{path} holds nothing that is needed ({len(infos)} files): is it another archive?')

    @property
    def advice(self) -> str:
        """What to do about a damaged archive."""
        return f'delete it and get it again{f" from {self.url}" if self.url else ""}'

    def missing(self) -> list[Path]:
        """Targets that are not there, or not of the right size."""
        sizes = _sizes({target.parent for target in self.members})
        return [target for target, info in self.members.items() if sizes.get(target) != info.file_size]

    def damaged(self, targets: Sequence[Path], workers: int) -> list[Path]:
        """Those of some targets whose bytes differ from the archive's checksums (CRC-32)."""
        if not targets:
            return []
        with ThreadPoolExecutor(workers) as pool, Progress(f'{self.path.name}: verifying', len(targets)) as progress:

            def differs(target: Path) -> bool:
                crc = 0
                with open(target, 'rb') as file:
                    while block := file.read(_BLOCK):
                        crc = zlib.crc32(block, crc)
                return crc != self.members[target].CRC

            found = []
            for target, bad in zip(targets, pool.map(differs, targets), strict=True):
                progress.step()
                if bad:
                    found.append(target)
        return found

    def unpack(self, targets: Sequence[Path], workers: int) -> None:
        """Unpack some targets; each is checked and appears when it is complete.

        Raises:
            ValueError: A member is damaged.
            OSError: It cannot be written, e.g. because the disk is full.
        """
        if not targets:
            return
        for folder in {target.parent for target in targets}:
            folder.mkdir(parents=True, exist_ok=True)
        chunks = [targets[i : i + _CHUNK] for i in range(0, len(targets), _CHUNK)]
        with (
            zipfile.ZipFile(self.path) as archive,
            ThreadPoolExecutor(workers) as pool,
            Progress(f'{self.path.name}: unpacking', len(targets)) as progress,
        ):

            def extract(chunk: Sequence[Path]) -> None:
                for target in chunk:
                    self._extract(archive, target)
                    progress.step()

            jobs = [pool.submit(extract, chunk) for chunk in chunks]
            try:
                done, _ = wait(jobs, return_when=FIRST_EXCEPTION)
            finally:  # also when the user interrupts
                pool.shutdown(wait=True, cancel_futures=True)
            for job in done:
                if not job.cancelled():
                    job.result()

    def _extract(self, archive: zipfile.ZipFile, target: Path) -> None:
        info = self.members[target]
        draft = target.with_name(f'.{target.name}.part')
        try:
            with archive.open(info) as source, open(draft, 'wb') as file:
                shutil.copyfileobj(source, file, _BLOCK)  # reading to the end compares the checksum
            os.replace(draft, target)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise ValueError(f'{self.path}: {info.filename} is damaged ({error}): {self.advice}') from error
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise OSError(
                    errno.ENOSPC,
                    f'the disk of {target.parent} is full; what is complete stays: make room and run again',
                ) from error
            raise
        finally:
            draft.unlink(missing_ok=True)


def require_space(root: Path, plans: Mapping['Unpacking', Sequence[Path]]) -> None:
    """Check that there is room for what is to be unpacked.

    Raises:
        OSError: There is not; says how much is needed and free.
    """
    sizes = (plan.members[target].file_size for plan, targets in plans.items() for target in targets)
    needed = sum(-(-size // _CLUSTER) * _CLUSTER for size in sizes)
    free = shutil.disk_usage(root).free
    if needed and needed + _RESERVE > free:
        raise OSError(
            errno.ENOSPC,
            f'{root}: unpacking needs {needed / 1e9:.1f} GB and a reserve of {_RESERVE / 1e9:.1f} GB, '
            f'{free / 1e9:.1f} GB are free: make room, or give a root on another disk',
        )


def read_checksums(path: str | Path) -> dict[str, str]:
    """Read ``<hex digest>  <file name>`` lines, as md5sum and sha256sum write them.

    Returns:
        dict[str, str]: Digest by file name, folders dropped.

    Raises:
        FileNotFoundError: No such file.
        ValueError: A line is something else.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'list of checksums {path} does not exist')
    digests = {}
    for number, line in enumerate(path.read_text(encoding='utf-8').splitlines(), start=1):
        if not line.strip() or line.startswith('#'):
            continue
        match = re.fullmatch(r'([0-9a-fA-F]+)\s+\*?(.+)', line.strip())
        if not match or len(match[1]) not in _DIGESTS:
            raise ValueError(f'{path}:{number}: {line!r:.80} is not "<md5, sha1 or sha256>  <file>"')
        digests[Path(match[2]).name] = match[1].lower()
    return digests


def verify_checksum(path: Path, digest: str, url: str = '') -> None:
    """Compare a file with a digest; its length says which kind it is.

    Raises:
        ValueError: They differ.
    """
    found = hashlib.new(_DIGESTS[len(digest)])
    with open(path, 'rb') as file, Progress(f'{path.name}: checksum', path.stat().st_size >> 20) as progress:
        while block := file.read(_BLOCK):
            found.update(block)
            progress.step()
    if found.hexdigest() != digest:
        where = f' from {url}' if url else ''
        raise ValueError(f'{path}: {found.name} is {found.hexdigest()}, not {digest}: get the file again{where}')


def _sizes(folders: set[Path]) -> dict[Path, int]:
    sizes = {}
    for folder in folders:
        if folder.is_dir():
            with os.scandir(folder) as entries:
                sizes.update({folder / entry.name: entry.stat().st_size for entry in entries if entry.is_file()})
    return sizes
