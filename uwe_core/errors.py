"""Every error this project raises on purpose, as one tree.

    UweError
    ├── InputError                 the caller sent something that cannot be ranked
    │   ├── TextError              one text of several is to blame, named by its position
    │   │   ├── InvalidTextError   it holds what no encoder can read
    │   │   ├── EmptyTextError     it holds no words
    │   │   └── LongTextError      it is longer than a text may be
    │   ├── LimitError             too many texts, or a text too long
    │   ├── UnknownTaskError       no task of that name
    │   ├── UnknownSpaceError      no target space of that name
    │   ├── UnknownModelError      another model ranks here
    │   ├── UnknownJobError        no job of that id
    │   ├── SlowBodyError          a request's body took too long to arrive
    │   ├── DataError              a raw data file is not what it should be (file and line)
    │   ├── LeakError              a text of a test set among those to train on
    │   └── JudgementError         scores or positives that no metric may judge
    ├── AccessError                the caller may not do this
    │   ├── UnknownKeyError        no key, or one that nobody configured
    │   ├── ScopeError             the key is for something else
    │   └── RateLimitError         more requests than the caller may send
    ├── ConflictError              what is asked for does not fit what is here now
    │   ├── StaleFingerprintError  another version than the one that was named is live
    │   ├── ReadOnlySpaceError     a space that requests cannot change
    │   └── SpaceInUseError        a space that a task ranks
    ├── ConfigurationError         settings that cannot work on this machine
    │   ├── BudgetError            more would be spent than was allowed
    │   ├── DeviceError            a device that is asked for and absent
    │   └── MissingModelError      a model that is not on this machine
    ├── ArtefactError              a file of ours is broken or does not fit
    │   ├── FormatVersionError     written by another version of the format
    │   ├── ChecksumError          the bytes are not the ones that were written
    │   └── FingerprintError       made by another model or from other texts
    ├── DivergenceError            a training step gave a number that is not finite
    ├── PeerError                  another process of the same run has failed
    ├── DiskFullError              no room for a file; what was there before is whole
    └── UnavailableError           the server cannot take the work now
        ├── NotReadyError          still loading
        ├── OverloadedError        the queue is full
        ├── DeadlineError          waited longer than a request may
        ├── WorkerError            the computing thread died under the work
        ├── EndpointError          another's language model keeps failing
        └── ShuttingDownError      going away

The core knows nothing of HTTP: the service maps these classes to statuses.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any


class UweError(Exception):
    """Root of the tree; never raised itself."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors travel between processes whole, whatever their constructors ask for."""
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[UweError], arguments: tuple[Any, ...], facts: dict[str, Any]) -> UweError:
    error = kind.__new__(kind, *arguments)
    error.args = arguments
    error.__dict__.update(facts)
    return error


class InputError(UweError):
    """The caller sent something that cannot be ranked."""


class TextError(InputError):
    """One text of several is to blame, named by its position."""

    def __init__(self, position: int, reason: str, place: str | None = None) -> None:
        super().__init__(f"{place or f'text {position}'} {reason}")
        self.position = position
        self.reason = reason

    def moved(self, by: int) -> TextError:
        """The same error where the texts began that many positions later in a longer list."""
        return type(self)(self.position + by, self.reason)

    def placed(self, place: str) -> TextError:
        """The same error, where a caller knows the text by another name than its position."""
        return type(self)(self.position, self.reason, place)


class InvalidTextError(TextError):
    """A text holds what no encoder can read, such as NUL or a lone surrogate."""


class EmptyTextError(TextError):
    """A text is empty, or nothing but special tokens is left of it."""


class LongTextError(TextError):
    """A text is longer than one may be."""


class LimitError(InputError):
    """More texts, or longer ones, than a request may hold."""


class UnknownTaskError(InputError):
    """There is no task of that name."""

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(f"no task '{name}'; there are: {', '.join(known)}")


class UnknownSpaceError(InputError):
    """There is no target space of that name."""

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(f"no target space '{name}'; there are: {', '.join(known)}")


class UnknownModelError(InputError):
    """Another model than the named one ranks here."""

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(f"no model '{name}'; this one is called: {', '.join(known)}")


class UnknownJobError(InputError):
    """There is no job of that id, or it is too long ago."""


class SlowBodyError(InputError):
    """A request's body did not arrive in time."""


class DataError(InputError):
    """A raw data file is not what it should be; names the file and, where known, the line."""

    def __init__(self, path: Path | str, line: int | None, reason: str) -> None:
        where = f"{path}, line {line}" if line is not None else f"{path}"
        super().__init__(f"{where}: {reason}")
        self.path = Path(path)
        self.line = line


class LeakError(InputError):
    """A text of a test set is among those to train on."""


class JudgementError(InputError):
    """Scores or positives that no metric may judge, such as NaN or a positive that was excluded."""


class AccessError(UweError):
    """The caller may not do this; the message never holds a key."""


class UnknownKeyError(AccessError):
    """No key where one is needed, or one that nobody configured."""


class ScopeError(AccessError):
    """The key is known, and for something else."""


class RateLimitError(AccessError):
    """More requests than the caller may send; the next one may come after `retry_after` seconds."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ConflictError(UweError):
    """What is asked for does not fit what is here now; the message says what is."""


class StaleFingerprintError(ConflictError):
    """Another version is live than the one that was named.

    Args:
        what: of which the version is, in words.
        asked: the fingerprint that was named.
        live: that of the version which is live.
    """

    def __init__(self, what: str, asked: str, live: str) -> None:
        super().__init__(f"{what} has the fingerprint {live}, not {asked}")
        self.live = live


class ReadOnlySpaceError(ConflictError):
    """A target space of the settings, of a taxonomy or of the sample: requests cannot change it."""


class SpaceInUseError(ConflictError):
    """A target space that a task ranks cannot be removed."""


class ConfigurationError(UweError):
    """Settings that cannot work on this machine."""


class BudgetError(ConfigurationError):
    """A paid request would exceed what may be spent."""


class DeviceError(ConfigurationError):
    """A device that is asked for and absent."""


class MissingModelError(ConfigurationError):
    """A model that is not on this machine and may not be fetched."""


class ArtefactError(UweError):
    """A file of ours is broken or does not fit the others."""


class FormatVersionError(ArtefactError):
    """Written by another version of the format."""


class ChecksumError(ArtefactError):
    """The bytes on disk are not the ones that were written."""


class FingerprintError(ArtefactError):
    """Made by another model, or from other texts, than those at hand."""


class DivergenceError(UweError):
    """A training step gave a loss or a gradient that is not finite; names the step, the graph and texts."""

    def __init__(self, step: int, what: str, texts: list[str]) -> None:
        shown = "; ".join(f"'{text}'" for text in texts)
        super().__init__(f"step {step}: {what} is not finite, with the texts {shown}")
        self.step = step
        self.texts = texts


class PeerError(UweError):
    """Another process of the same run has failed, for the reason that is told."""


class DiskFullError(UweError):
    """There is no room for a file or a folder; what was there before is whole.

    Args:
        path: under the name that it would have got.
        reason: what there is too little of.
    """

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(f"{path} cannot be written: {reason}; nothing was changed")
        self.path = Path(path)
        self.reason = reason


class UnavailableError(UweError):
    """The server cannot take the work now; try again after `retry_after` seconds."""

    retry_after = 1


class NotReadyError(UnavailableError):
    """Weights, token indexes or warm-up are not done."""

    retry_after = 5


class OverloadedError(UnavailableError):
    """The queue is full; `retry_after` is about how long it takes to drain."""

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class DeadlineError(UnavailableError):
    """The work waited longer than a request may."""


class WorkerError(UnavailableError):
    """The thread that computes died while the work was with it; another one is being started."""


class EndpointError(UnavailableError):
    """A language model's server failed as often as a request to it may be repeated."""


class ShuttingDownError(UnavailableError):
    """The server is going away."""

    retry_after = 5
