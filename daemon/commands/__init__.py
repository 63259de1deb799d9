"""One module for each command of `rosterd`; what is heavy is imported when the command runs, so that `--help` is quick."""
