"""Child processes that do not outlive the process that started them."""

import os
import threading
import time


def exit_with_parent(every: float = 1.0) -> None:
    """End this process soon after its parent is gone, however the parent died.

    A killed run must not leave a trainer behind that competes with the trainer of the next run. There is no
    portable event for the death of a parent, so a daemon thread looks once in `every` seconds.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(every)
        os._exit(1)

    threading.Thread(target=watch, name="exit-with-parent", daemon=True).start()
