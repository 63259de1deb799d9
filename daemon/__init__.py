"""THE PROCESS: the `rosterd` command, configuration, composition, clock, child processes, systemd, logging."""
