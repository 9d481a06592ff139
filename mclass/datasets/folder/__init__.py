"""A folder of music of your own as a data set: labels from the folders, file names or a table.

Taught in: 02_datasets.
"""

from mclass.datasets.folder._cells import split_tags
from mclass.datasets.folder.dataset import Folder, audio_below, check_root, in_threads

__all__ = ["Folder", "audio_below", "check_root", "in_threads", "split_tags"]
