"""The command line's arguments, by theme; nothing heavier than argparse is imported."""
