"""The commands behind the command line: read files, call a stage, write files."""
