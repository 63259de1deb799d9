"""`python -m daemon` is the `rosterd` command."""

from daemon.command import main

if __name__ == "__main__":
    main()
