"""The three ways that work ends early, each with its exit code.

Every message says what happened, where, and what to do instead. The command line turns these
into exit codes; Dagster assets turn them into failures that are not retried.
"""


class FtAssetsError(Exception):
    """Base of every error that is meant for the person who runs a command."""

    exit_code = 3


class Refused(FtAssetsError):
    """A gate or a check said no. The input was understood; the answer is no."""

    exit_code = 1


class WrongInput(FtAssetsError):
    """The input cannot be used: name the file, the line, the field, and what to write instead."""

    exit_code = 2


class BrokenEnvironment(FtAssetsError):
    """Something that the machine should provide is missing, full, or busy."""

    exit_code = 3
