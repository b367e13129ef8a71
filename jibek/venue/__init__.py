"""Running a venue and finding one."""
