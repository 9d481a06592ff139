"""What pyproject.toml cannot say: the measured tables travel with the package, for notebooks without a clone."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class WithResults(build_py):
    """Copies ``experiments/results`` to where `mclass.display.tables` looks for it."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:  # a clone: the tables themselves are at hand
            return
        target = Path(self.build_lib, "mclass", "display", "_results")
        self.mkpath(str(target))
        for table in sorted(Path(__file__).with_name("experiments").glob("results/*.csv")):
            self.copy_file(str(table), str(target / table.name))


setup(cmdclass={"build_py": WithResults})
