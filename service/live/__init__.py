"""Target spaces that are uploaded, changed and removed while they are served."""

from service.live.jobs import Job
from service.live.spaces import LiveSpaces

__all__ = ["Job", "LiveSpaces"]
