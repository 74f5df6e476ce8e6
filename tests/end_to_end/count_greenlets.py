"""A locustfile that has Locust's page tell, at ``/greenlets``, how many of them live."""

import gc

from gevent import Greenlet
from locust import events


@events.init.add_listener
def tell(web_ui, **_) -> None:
    if web_ui is not None:

        @web_ui.app.route("/greenlets")
        def greenlets() -> str:
            gc.collect()
            return str(sum(isinstance(one, Greenlet) and not one.dead for one in gc.get_objects()))
