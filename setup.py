"""The compiled extensions. Everything else about the package is in pyproject.toml.

With JIBEK_DEBUG=1 in the environment they are built to find mistakes, not to be fast: assertions, bounds checks, and
gcc's sanitizers of addresses and of undefined behaviour. `make debug` keeps that build apart from the ordinary one.
"""

import os

from Cython.Build import cythonize
from setuptools import Extension, setup

IS_DEBUG = os.environ.get("JIBEK_DEBUG") == "1"
SANITIZERS = ["-fsanitize=address,undefined", "-fno-omit-frame-pointer"]
CHECKS = ("boundscheck", "wraparound", "initializedcheck", "nonecheck")
# Python asks for -fwrapv, with which the sanitizer lets signed numbers overflow.
DEBUG_FLAGS = ["-O1", "-g", "-fno-wrapv", "-DJIBEK_DEBUG", *SANITIZERS]
# Python asks for -g too: debug information makes the extensions six times as large, and a quarter slower to compile.
RELEASE_FLAGS = ["-O3", "-g0"]


def extension(name, *release_flags):
    """The extension of one .pyx file; the flags are for the ordinary build only."""
    return Extension(
        name,
        [name.replace(".", "/") + ".pyx"],
        extra_compile_args=DEBUG_FLAGS if IS_DEBUG else [*RELEASE_FLAGS, *release_flags],
        extra_link_args=SANITIZERS if IS_DEBUG else [],
    )


setup(
    ext_modules=cythonize(
        [
            extension("engine.book.book"),
            extension("bench.empty"),
            # An event is cleared before it is filled; gcc's own memset for 256 bytes is slower than the C library's.
            extension("engine.core.core", "-fno-builtin-memset"),
            extension("gateway.dialect.fast"),
            extension("gateway.dialect.market_scale"),
            extension("gateway.auth.usage"),
            extension("gateway.journal.command_queue"),
            extension("gateway.journal.pending"),
            extension("gateway.judgement.judge"),
            extension("gateway.view.accounts"),
            extension("gateway.view.book_levels"),
            extension("gateway.view.order_events"),
            extension("gateway.wire.frames"),
            extension("ledger.fast_postings"),
        ],
        compiler_directives={
            "language_level": 3,
            "embedsignature": True,
            **(dict.fromkeys(CHECKS, True) if IS_DEBUG else {}),
        },
        # A debug build names the line of the .pyx file, not that of the generated C.
        emit_linenums=IS_DEBUG,
    ),
    # As many compilers as there are cores.
    options={"build_ext": {"parallel": True}},
)
