"""The commands of `jibek`, and nothing that anybody imports."""
