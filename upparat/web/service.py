"""The server of the page, as a service. A failure is one line in the log."""

from __future__ import annotations

from collections.abc import Callable

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IReactorTCP
from twisted.logger import Logger

from upparat.config.address import ListenAddress
from upparat.control.desk import Desk
from upparat.metrics.exposition import MISSING, Metrics, is_available

from .answers import Answers
from .channel import PageFactory

BACKLOG = 50


class WebService(Service):
    """Serves the page and the metrics while it runs.

    :param desk: returns the desk that answers for the agent.
    """

    log = Logger()

    def __init__(
        self,
        reactor: IReactorTCP,
        address: ListenAddress,
        desk: Callable[[], Desk],
        metrics: Metrics,
    ) -> None:
        self._reactor = reactor
        self._address = address
        self._desk = desk
        self._metrics = metrics
        self._factory: PageFactory | None = None
        self._port: IListeningPort | None = None

    def startService(self) -> None:
        super().startService()
        try:
            self._listen()
        except CannotListenError as error:
            problem = error.socketError
            self.log.error(
                "The page is off: {address}: {reason}",
                address=str(self._address),
                reason=getattr(problem, "strerror", None) or str(problem),
            )
        except Exception:
            self.log.failure("The page is off: {address}", address=str(self._address))

    def stopService(self) -> Deferred[None]:
        """Take no more clients, and close the connections."""
        super().stopService()
        port, self._port = self._port, None
        if self._factory is not None:
            self._factory.drop_all()
        if port is None:
            return succeed(None)
        stopped: Deferred[None] = Deferred()
        stopped.addErrback(lambda failure: self.log.failure("The page cannot be closed", failure))
        maybeDeferred(port.stopListening).chainDeferred(stopped)  # type: ignore[arg-type]
        return stopped

    def _listen(self) -> None:
        desk = self._desk()
        answers = Answers(self._address, desk, self._metrics)
        self._factory = PageFactory(desk.clock, answers.answer)
        host, port = self._address
        self._port = self._reactor.listenTCP(port, self._factory, BACKLOG, host)
        self.log.info("The page is at http://{address}/", address=str(self._address))
        if not is_available():
            self.log.warn("/metrics answers nothing: {missing}", missing=MISSING)
