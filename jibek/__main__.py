"""`python -m jibek` is the `jibek` command."""

from jibek.main import main

if __name__ == "__main__":
    main(prog_name="jibek")
