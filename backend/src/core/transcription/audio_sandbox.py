"""Limits the process that decodes an untrusted file, before the process reads the first byte.

The limits are hard limits of the kernel. Setting them needs no privilege, and a process cannot raise them again.
"""

from __future__ import annotations

import resource
import sys

CPU_SECONDS = 10
ADDRESS_SPACE_BYTES = 512 << 20


def limit_resources() -> None:
    """Bound time and memory, and forbid every write to a file. Call before the decoder is loaded."""
    # One second more for the hard limit: the soft one's SIGXCPU ends the process and leaves a name.
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform != "darwin":  # macOS knows the limit and refuses to set it
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))


def close_doors() -> None:
    """Forbid every further descriptor and process: no socket, file or pipe; what is open stays usable.

    Call after the last import. A program started from here would not get as far
    as its libraries, which it has to open.
    """
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
    # The system does not apply this limit to root.
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
