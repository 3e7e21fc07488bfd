"""Files and folders that appear complete or not at all, and outlive a power failure once they are there."""

from bundle.atomic.file import make_folder, replacing, storage_errors, sync
from bundle.atomic.folder import finish_replacing, new_folder

__all__ = ["finish_replacing", "make_folder", "new_folder", "replacing", "storage_errors", "sync"]
