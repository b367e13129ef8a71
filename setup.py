"""The compiled extensions; all else about the package stands in pyproject.toml."""

from Cython.Build import cythonize
from setuptools import Extension, setup

setup(
    ext_modules=cythonize(
        [
            Extension("engine.book", ["engine/book.pyx"], extra_compile_args=["-O3"]),
            Extension("bench.empty", ["bench/empty.pyx"], extra_compile_args=["-O3"]),
            Extension("engine.core", ["engine/core.pyx"], extra_compile_args=["-O3"]),
        ],
        compiler_directives={"language_level": 3, "embedsignature": True},
    )
)
