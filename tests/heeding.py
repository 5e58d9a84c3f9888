"""Programs that heed signals, whatever the test run that starts them ignores."""

import signal


def heed() -> None:
    """For `preexec_fn`: what was started in the background or by nohup inherits ignored signals."""
    for signum in (signal.SIGINT, signal.SIGHUP):
        signal.signal(signum, signal.SIG_DFL)
