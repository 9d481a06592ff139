"""Other people's libraries, each in an environment that leaves the project's own alone."""

from __future__ import annotations

import os
import site
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent


def interpreter(name: str = "") -> Path:
    """The Python of an environment of peers; makes the environment if it is not there.

    Parameters
    ----------
    name : {"", "old"}
        ``.venv-peers`` sees the packages of the project's environment beside its own, so that torch is not
        installed twice. ``.venv-peers-old`` has an old torch of its own (about 5 GB).
    """
    suffix = f"-{name}" if name else ""
    folder = Path(os.environ.get(f"MCLASS_PEERS{suffix.replace('-', '_').upper()}", ROOT / f".venv-peers{suffix}"))
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if python.exists():
        return python
    print(f"making {folder.name} …", file=sys.stderr, flush=True)
    venv.create(folder, with_pip=True)
    own = [] if name else ["--no-deps"]
    if not name:
        code = "import site; print(site.getsitepackages()[0])"
        packages = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        Path(packages, "project.pth").write_text("\n".join(site.getsitepackages()))
    requirements = HERE / f"requirements{suffix}.txt"
    subprocess.run([python, "-m", "pip", "install", "--quiet", *own, "-r", requirements], check=True)
    return python
