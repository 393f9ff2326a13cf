"""Every error Anima raises on purpose, with its exit code; knows nothing of where they are shown.

    AnimaError                1
    ├── UsageError            2    a flag, command, setting or argument that cannot be
    │   ├── ConfigError       2    a settings file or variable that cannot be
    │   └── SteeringError     2    a push, a mode or a contrast that cannot be used as it is
    ├── ModelError            1    a model that cannot be found, loaded or run
    │   ├── DownloadError     1    fetching it failed
    │   ├── CorruptModelError 1    its files are not what they should be
    │   └── FeatureError      1    an SAE that cannot be found, read or used with this model
    ├── ContextError          1    a text that does not fit the model's window
    ├── StateError            1    a persona or session that cannot be used as it is
    │   ├── BusyError         1    another process holds the persona
    │   ├── CorruptStateError 1    its files are not what they should be
    │   │   ├── ChainBroken   1    a line of the memory is not the one that was written
    │   │   └── TailMissing   1    the memory is shorter than it says it is
    │   ├── HeadMoved         1    the memory grew since the line that this should follow
    │   ├── MemoryLocked      1    the memory is encrypted, and not with what was given
    │   └── NewerVersionError 1    it was written by a newer Anima
    ├── StorageError          1    the disk refused: full, read-only, gone
    └── Interrupted         130    the person stopped it

A message names the value, the place and the remedy.
"""

from typing import ClassVar


class AnimaError(Exception):
    """The root: catch this to catch every error that Anima raises on purpose."""

    exit_code: ClassVar[int] = 1


class UsageError(AnimaError):
    """A flag, command, setting or argument has a value that cannot be."""

    exit_code = 2


class ConfigError(UsageError):
    """A settings file or an environment variable cannot be read or holds a wrong value."""


class ModelError(AnimaError):
    """A model cannot be found, loaded or run."""


class DownloadError(ModelError):
    """Fetching a model failed; nothing half-fetched is left in its place."""


class CorruptModelError(ModelError):
    """A model's files are missing, truncated or have another hash than they should."""


class FeatureError(ModelError):
    """A sparse autoencoder cannot be found, read or used with this model."""


class SteeringError(UsageError):
    """A push, a mode or a contrast that cannot be used as it is."""


class ContextError(AnimaError):
    """A text does not fit into the model's context window."""


class StateError(AnimaError):
    """A persona or a session cannot be used as it is."""


class BusyError(StateError):
    """Another process has the persona open."""


class CorruptStateError(StateError):
    """A persona's or a session's files are damaged beyond what opening can mend."""


class ChainBroken(CorruptStateError):
    """A line of the memory is not the one that was written; `seq` says which."""

    def __init__(self, seq: int, reason: str) -> None:
        super().__init__(
            f"Line {seq} of the memory is not what was written: {reason}. The lines before it are "
            "whole: anima memory repair keeps those; or go back to a copy."
        )
        self.seq, self.reason = seq, reason


class TailMissing(CorruptStateError):
    """The memory holds another number of lines than it, or its seal, says."""

    def __init__(self, expected: int, found: int) -> None:
        super().__init__(
            f"The memory says that it has {expected} lines, and {found} are there. anima memory "
            "repair keeps those; or go back to a copy."
        )
        self.expected, self.found = expected, found


class HeadMoved(StateError):
    """The line that this was to follow is no longer the last one."""


class MemoryLocked(StateError):
    """The memory is encrypted and was not opened: the same words whatever was wrong."""

    def __init__(self) -> None:
        super().__init__(
            "The memory is encrypted, and it could not be unlocked with what was given. Give its "
            "passphrase (typed at a terminal, or ANIMA_MEMORY_PASSPHRASE) or its key file "
            "(--key-file of anima memory, or ANIMA_MEMORY_KEY_FILE)."
        )


class NewerVersionError(StateError):
    """A file was written by a newer version of Anima than this one."""


class StorageError(AnimaError):
    """The disk refused to read or write: full, read-only or gone."""


class Interrupted(AnimaError):
    """The person stopped what was running; what was finished before is kept."""

    exit_code = 130
