"""Starting and stopping the service as a process of its own, with messages for what goes wrong."""

import errno
import http.client
import ipaddress
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from ft_assets.errors import BrokenEnvironment, WrongInput
from ft_assets.serving.access import HOW_TO_MAKE_ONE, KEYS_FILE, is_loopback, read_keys
from ft_assets.serving.keys import active_keys
from ft_assets.serving.limits import allow_files, read_limits
from ft_assets.storage.home import Home

START_SECONDS = 180.0
STOP_SECONDS = 10.0
KEEP_ALIVE_SECONDS = 75
"""How long an idle connection is kept. Longer than clients and proxies keep theirs (OpenAI's client 5 s, nginx 60 s),
so that they close it: a server that does so just as a request is on its way, as uvicorn would after 5 s, resets it."""

CANNOT_START = "the service cannot start:"
"""Marks the line of the log that says why."""
_SERVICE = "ft_assets.serving.service:Service"
_TAIL_LINES = 20


def serve(
    home: Home,
    base_digest: str,
    host: str = "127.0.0.1",
    port: int = 3000,
    announce: Callable[[str], object] = print,
) -> None:
    """Serve until Ctrl-C or SIGTERM, which both let the requests that run end; call it from the main thread.

    Args:
        home: the installation to serve from.
        base_digest: artifact of kind `bases`.
        host: address to listen on; beyond loopback API keys are a must.
        port: TCP port; 0 takes a free one.
        announce: called with the server's URL once it answers.

    Raises:
        WrongInput: an unusable host, port, limit, or keys file.
        BrokenEnvironment: the port is busy, or the server did not start or ended by itself.
    """
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        with Server(home, base_digest, host, port) as server:
            announce(server.url)
            server.wait()
    except KeyboardInterrupt:
        return
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not break off the end
    raise KeyboardInterrupt


class Server:
    """The service in a child process, answering for the length of a `with` block.

    Attributes:
        url: such as `http://127.0.0.1:3000`.
        log: file with the server's output.
    """

    def __init__(self, home: Home, base_digest: str, host: str = "127.0.0.1", port: int = 0) -> None:
        self._home = home
        self._base_digest = base_digest
        self._host = "127.0.0.1" if host == "localhost" else host
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients reach it."""
        host = self._reachable_host()
        return f"http://[{host}]:{self._port}" if ":" in host else f"http://{host}:{self._port}"

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self._folder() / "server.log"

    def __enter__(self) -> "Server":
        _refuse_open_door(self._home, self._host)  # say what is wrong before anything is started
        allow_files(read_limits())
        self._home.artifacts.path("bases", self._base_digest)
        self._port = _free_port(self._host, self._port)
        self._folder().mkdir(parents=True, exist_ok=True)
        self._start()
        try:
            self._await_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def wait(self) -> None:
        """Return never, unless the server ends by itself.

        Raises:
            BrokenEnvironment: it did; the message has the end of its log.
        """
        assert self._process is not None
        self._process.wait()
        raise BrokenEnvironment(f"the server ended by itself; {self._end_of_log()}")

    def stop(self) -> None:
        """End the server and every process that it started."""
        import psutil  # comes with BentoML

        if self._process is None:
            return
        try:
            family = psutil.Process(self._process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            family = []
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for process in family:  # workers lead sessions of their own, so no group signal reaches them
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(family, timeout=STOP_SECONDS)
        self._process = None

    def _start(self) -> None:
        command = [sys.executable, "-m", "bentoml", "serve", _SERVICE]
        timeouts = ["--timeout-keep-alive", str(KEEP_ALIVE_SECONDS)]
        if self.log.exists():  # it may say why the server before this one ended
            self.log.replace(self.log.with_name("server.log.1"))
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                [*command, "--host", self._host, "--port", str(self._port), *timeouts],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches the launcher alone, which then stops the server
            )

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            **self._home.environment(),
            "FT_ASSETS_BASE": self._base_digest,
            "FT_ASSETS_LAUNCHER": str(os.getpid()),
            "BENTOML_DO_NOT_TRACK": "True",
            # BentoML empties its metrics folder when it starts: two servers must not share one.
            "BENTOML_HOME": str(self._folder() / "bentoml"),
            "PYTHONUNBUFFERED": "1",
        }

    def _await_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._answers():
                return
            try:
                self._process.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
            raise BrokenEnvironment(f"the server did not start; {self._end_of_log()}")
        raise BrokenEnvironment(f"the server was not ready after {START_SECONDS:.0f} s; {self._end_of_log()}")

    def _answers(self) -> bool:
        # Not urllib: it would send even loopback through a proxy that the environment names.
        connection = http.client.HTTPConnection(self._reachable_host(), self._port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _end_of_log(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        why = [line.partition(CANNOT_START)[2].strip() for line in lines if CANNOT_START in line]
        if why:
            return f"{why[-1]} (more in {self.log})"
        return "\n".join([f"the end of {self.log}:", *lines[-_TAIL_LINES:]])

    def _folder(self) -> Path:
        return self._home.scratch / "serving" / str(self._port)

    def _reachable_host(self) -> str:
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host)


def _refuse_open_door(home: Home, host: str) -> None:
    try:
        ipaddress.ip_address(host)
    except ValueError as error:
        raise WrongInput(f"--host {host} is not an IP address; write one such as 127.0.0.1") from error
    keys = read_keys() or is_loopback(host) or active_keys(home)
    if not keys:
        raise WrongInput(
            f"--host {host} can be reached from other machines, there is no API key, and {KEYS_FILE} is not set; "
            f"use --host 127.0.0.1, or: {HOW_TO_MAKE_ONE}"
        )


def _free_port(host: str, port: int) -> int:
    """The port itself if nobody listens there; a free one for 0."""
    if not 0 <= port <= 65_535:
        raise WrongInput(f"--port {port} is not a TCP port; write 0 (any free one) to 65535")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            # Two sockets may be bound with SO_REUSEADDR as long as neither listens.
            probe.listen(1)
        except OSError as error:
            raise _why_not(error, host, port) from error
        return int(probe.getsockname()[1])


def _why_not(error: OSError, host: str, port: int) -> WrongInput | BrokenEnvironment:
    if error.errno == errno.EADDRINUSE:
        return BrokenEnvironment(
            f"port {port} of {host} is in use; stop what listens there, or choose another with `--port`"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return WrongInput(f"--host {host} is not an address of this machine; write one such as 127.0.0.1")
    return BrokenEnvironment(
        f"port {port} of {host} cannot be opened ({error.strerror}); choose another with `--port`"
    )
