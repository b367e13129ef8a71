"""The compiled extensions; all else about the package stands in pyproject.toml."""

from Cython.Build import cythonize
from setuptools import Extension, setup

setup(
    ext_modules=cythonize(
        [
            Extension("engine.book.book", ["engine/book/book.pyx"], extra_compile_args=["-O3"]),
            Extension("bench.empty", ["bench/empty.pyx"], extra_compile_args=["-O3"]),
            # An event is cleared before it is filled; gcc's own memset for 256 bytes is slower than the C library's.
            Extension("engine.core.core", ["engine/core/core.pyx"], extra_compile_args=["-O3", "-fno-builtin-memset"]),
            Extension("gateway.accounts", ["gateway/accounts.pyx"], extra_compile_args=["-O3"]),
            Extension("gateway.codec", ["gateway/codec.pyx"], extra_compile_args=["-O3"]),
            Extension("ledger.fast_postings", ["ledger/fast_postings.pyx"], extra_compile_args=["-O3"]),
        ],
        compiler_directives={"language_level": 3, "embedsignature": True},
    )
)
