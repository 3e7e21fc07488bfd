"""Files and folders that appear complete or not at all, and survive a power failure once written."""

from bundle.atomic.file import make_folder, replacing, storage_errors, sync
from bundle.atomic.folder import finish_replacing, new_folder, scratch_folder

__all__ = ["finish_replacing", "make_folder", "new_folder", "replacing", "scratch_folder", "storage_errors", "sync"]
