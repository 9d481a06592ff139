"""Download one file: resumed after an interruption, checked, and in place only when it is complete."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from mclass._utils.files import writing
from mclass.errors import DownloadError

_BLOCK = 1 << 16  # what is lost when the connection breaks
_TIMEOUT = 30  # seconds without an answer, or between two blocks


def download(url: str, path: Path, sha256: str | None = None, progress: bool = True) -> Path:
    """Fetch `url` to `path`, unless it is there.

    Parameters
    ----------
    url : str
    path : Path
        Beside it, ``<name>.part`` holds what an interrupted download got; the next one goes on from there. A file
        with the wrong checksum is kept as ``<name>.rejected``.
    sha256 : str, optional
        What the file must hash to. If not given, the first download is trusted: its hash is written to
        ``<name>.sha256``, and the file must keep it from then on.
    progress : bool
        Show a bar.

    Raises
    ------
    DownloadError
        If there is no connection, the server refuses, the disk is full, or the checksum is wrong.
    """
    import pooch

    pooch.get_logger().setLevel("WARNING")
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path, wait=True):  # of two processes, one fetches
        return _download(url, path, sha256, progress)


def _download(url: str, path: Path, sha256: str | None, progress: bool) -> Path:
    import pooch

    known = path.with_name(path.name + ".sha256")
    if sha256 is None and path.exists() and known.exists():
        sha256 = known.read_text().strip()
    if path.exists() and sha256 is not None and file_sha256(path) != sha256:
        # Never fetched again behind the reader's back: the file may be one they care about.
        raise DownloadError(
            f"{path} is not the file that belongs there (SHA-256 {file_sha256(path)}, expected {sha256}). "
            f"Delete it to download it again from {url}"
        )
    fetch = _Resuming(path.with_name(path.name + ".part"), progress)
    try:
        pooch.retrieve(url, sha256 and f"sha256:{sha256}", path.name, path.parent, downloader=fetch)
    except ValueError:  # pooch: the hash of a finished download is wrong
        rejected = fetch.part.replace(path.with_name(path.name + ".rejected"))
        raise DownloadError(
            f"what {url} gave has the SHA-256 {file_sha256(rejected)}, expected {sha256}: damaged on the way, or "
            f"changed at its source. It is kept as {rejected} and not used. Try again, or get the file elsewhere"
        ) from None
    except OSError as error:  # requests' errors are OSErrors, too
        raise DownloadError(f"cannot download {url}: {_reason(error)}. By hand: save it as {path}") from error
    fetch.part.unlink(missing_ok=True)
    if sha256 is None:
        known.write_text(file_sha256(path) + "\n")
    return path


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Resuming:
    """A downloader for pooch that goes on with what `part` holds."""

    def __init__(self, part: Path, progress: bool):
        self.part, self.progress = part, progress

    def __call__(self, url: str, output_file: str, pooch: object) -> None:
        import shutil

        import requests
        from tqdm import tqdm

        have = self.part.stat().st_size if self.part.exists() else 0
        headers = {"Range": f"bytes={have}-"} if have else {}
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
            if response.status_code == 416:  # nothing after what we have: it is complete, or no longer the same
                total = re.fullmatch(r"bytes \*/(\d+)", response.headers.get("Content-Range", ""))
                if total and int(total[1]) == have:
                    shutil.copyfile(self.part, output_file)
                    return
                self.part.unlink()
                return self(url, output_file, pooch)
            response.raise_for_status()
            if response.status_code != 206:  # the server sends everything, whatever was asked
                have = 0
            rest = response.headers.get("Content-Length")
            total = have + int(rest) if rest and "Content-Encoding" not in response.headers else None
            with (
                self.part.open("ab" if have else "wb") as file,
                tqdm(
                    total=total,
                    initial=have,
                    unit="B",
                    unit_scale=True,
                    desc=url.split("/", 3)[2],
                    disable=None if self.progress else True,
                    leave=False,
                ) as bar,
            ):
                for block in response.iter_content(_BLOCK):
                    file.write(block)
                    bar.update(len(block))
        if total is not None and self.part.stat().st_size < total:
            raise OSError(f"the connection broke after {self.part.stat().st_size} of {total} bytes; try again")
        shutil.copyfile(self.part, output_file)


def _reason(error: OSError) -> str:
    import requests

    if isinstance(error, requests.HTTPError):
        return f"the server says {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout):
        return f"no answer within {_TIMEOUT} s"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke; try again, it goes on from there"
    if isinstance(error, requests.ConnectionError):
        return "no connection to the server"
    return error.strerror or str(error)
